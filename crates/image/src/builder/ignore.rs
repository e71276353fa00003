//! `.dockerignore`: which files of a build context are left out.
//!
//! The rules are moby's (`patternmatcher`), not git's: patterns are anchored at the context's root,
//! the last one that matches counts, `!` takes files back, and what lies in a directory that a
//! pattern matches is matched by it too.

use std::iter::Peekable;
use std::str::Chars;

/// The patterns of one file, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

/// Which line can't be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text:?} is not a pattern: {reason}")]
pub struct IgnoreError {
    pub line: usize,
    pub text: String,
    pub reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    takes_back: bool,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Is(char),
    /// `?`: one character but `/`.
    Any,
    /// `*`: any number of characters but `/`.
    Run,
    /// `**` with no `/` after it: anything.
    Rest,
    /// `**/`: any number of directories, none included.
    Directories,
    /// `[a-z]`: one character of, or with `true` not of, these ranges.
    Class(bool, Vec<(char, char)>),
}

impl Ignore {
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (number, line) in text.lines().enumerate() {
            // Only at the very start of a line is `#` a comment.
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let wrong = |reason| IgnoreError { line: number + 1, text: line.to_owned(), reason };
            patterns.extend(Pattern::parse(line.trim()).map_err(wrong)?);
        }
        Ok(Self { patterns })
    }

    /// Whether the file at `path`, relative to the context and with `/`, is left out.
    pub fn is_ignored(&self, path: &str) -> bool {
        let characters: Vec<char> = path.chars().collect();
        let ends = characters.iter().enumerate().filter(|(_, c)| **c == '/').map(|(at, _)| at);
        let prefixes: Vec<&[char]> = ends.chain([characters.len()]).map(|end| &characters[..end]).collect();
        let last = self
            .patterns
            .iter()
            .rev()
            .find(|pattern| prefixes.iter().any(|path| matches(&pattern.tokens, path)));
        last.is_some_and(|pattern| !pattern.takes_back)
    }

    /// Whether nothing in the ignored directory at `path` can be taken back, so that it needs no look.
    pub fn is_ignored_whole(&self, path: &str) -> bool {
        self.is_ignored(path) && !self.patterns.iter().any(|pattern| pattern.takes_back)
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        let (takes_back, text) = match text.strip_prefix('!') {
            Some("") => return Err("nothing follows the exclamation mark"),
            Some(rest) => (true, rest.trim()),
            None => (false, text),
        };
        match clean(text) {
            // The context itself can't be left out.
            path if path.is_empty() => Ok(None),
            path => Ok(Some(Self { takes_back, tokens: tokens(&path)? })),
        }
    }
}

/// The path without `.`, `..` and empty parts, as Go's `filepath.Clean` has it.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn tokens(pattern: &str) -> Result<Vec<Token>, &'static str> {
    let mut rest = pattern.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(character) = rest.next() {
        tokens.push(match character {
            '*' if rest.next_if_eq(&'*').is_some() => {
                while rest.next_if_eq(&'*').is_some() {}
                match rest.next_if_eq(&'/') {
                    Some(_) => Token::Directories,
                    None => Token::Rest,
                }
            }
            '*' => Token::Run,
            '?' => Token::Any,
            '\\' => Token::Is(rest.next().ok_or("it ends in a backslash")?),
            '[' => class(&mut rest)?,
            other => Token::Is(other),
        });
    }
    Ok(tokens)
}

fn class(rest: &mut Peekable<Chars<'_>>) -> Result<Token, &'static str> {
    const OPEN: &str = "a [ has no ]";
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let from = match rest.next().ok_or(OPEN)? {
            ']' if !ranges.is_empty() => return Ok(Token::Class(negated, ranges)),
            '\\' => rest.next().ok_or(OPEN)?,
            other => other,
        };
        let to = match rest.next_if_eq(&'-') {
            Some(_) => match rest.next().ok_or(OPEN)? {
                '\\' => rest.next().ok_or(OPEN)?,
                other => other,
            },
            None => from,
        };
        ranges.push((from, to));
    }
}

/// Matches the whole path. Tokens × path steps, whatever the pattern: each row of the table says
/// from which ends of the tokens so far the path can go on.
fn matches(tokens: &[Token], path: &[char]) -> bool {
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for token in tokens {
        let mut next = vec![false; path.len() + 1];
        match token {
            Token::Run | Token::Rest => {
                let mut going = false;
                for at in 0..=path.len() {
                    let stopped = at > 0 && path[at - 1] == '/' && *token == Token::Run;
                    going = reached[at] || (going && !stopped);
                    next[at] = going;
                }
            }
            Token::Directories => {
                let mut going = false;
                for at in 0..=path.len() {
                    next[at] = reached[at] || (going && path[at - 1] == '/');
                    going |= reached[at];
                }
            }
            one => (0..path.len())
                .filter(|&at| reached[at] && one.takes(path[at]))
                .for_each(|at| next[at + 1] = true),
        }
        reached = next;
    }
    reached[path.len()]
}

impl Token {
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Is(wanted) => *wanted == character,
            Self::Any => character != '/',
            Self::Class(negated, ranges) => {
                let within = ranges.iter().any(|&(from, to)| (from..=to).contains(&character));
                character != '/' && within != *negated
            }
            Self::Run | Self::Rest | Self::Directories => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(patterns: &str, path: &str) -> bool {
        Ignore::parse(patterns).unwrap().is_ignored(path)
    }

    #[test]
    fn patterns_match_as_mobys_do() {
        let cases = [
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "b/a", false),
            ("/a", "a", true),
            ("./a/", "a/x", true),
            ("*", "a", true),
            ("*", "a/b", true),
            ("*.o", "x.o", true),
            ("*.o", "d/x.o", false),
            ("*/x", "d/x", true),
            ("**/*.o", "x.o", true),
            ("**/*.o", "d/e/x.o", true),
            ("**", "a/b", true),
            ("**/", "a", true),
            ("a/**", "a", false),
            ("a/**", "a/b", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("**/b", "xb", false),
            ("a?", "ab", true),
            ("a?", "a/", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a.b", "axb", false),
            ("**file", "dir/file", true),
            ("dir/../f", "f", true),
            ("#a", "#a", false),
            (" #a", "#a", true),
            ("a b", "a b", true),
            ("ümlaut?", "ümlauté", true),
            ("a*b*c", "axbxbc", true),
            ("a*b*c", "axb/xc", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(ignored(pattern, path), expected, "{pattern} against {path}");
        }
    }

    #[test]
    fn the_last_pattern_that_matches_counts() {
        let patterns = "# all but the docs\n*\n!docs\ndocs/private\n\n!docs/private/but\n";
        for (path, expected) in
            [("x", true), ("docs/a", false), ("docs/private/a", true), ("docs/private/but", false)]
        {
            assert_eq!(ignored(patterns, path), expected, "{path}");
        }
        let ignore = Ignore::parse(patterns).unwrap();
        assert!(!ignore.is_ignored_whole("x"), "something below may be taken back");
        assert!(Ignore::parse("x").unwrap().is_ignored_whole("x"));
    }

    #[test]
    fn what_is_no_pattern_is_named_by_line() {
        for (text, line, reason) in [
            ("a\n!", 2, "nothing follows the exclamation mark"),
            ("[a", 1, "a [ has no ]"),
            ("a\\", 1, "it ends in a backslash"),
        ] {
            let error = Ignore::parse(text).unwrap_err();
            assert_eq!((error.line, error.reason), (line, reason));
        }
        assert_eq!(Ignore::parse("").unwrap(), Ignore::parse("#\n.\n/\n").unwrap());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_in_bounded_time(text in "[a*?!/\\[\\]\\\\^.\\n-]{0,60}", path in "[a/.*]{0,60}") {
            if let Ok(ignore) = Ignore::parse(&text) {
                ignore.is_ignored(&path);
            }
        }
    }
}
