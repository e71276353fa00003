//! The patterns of `${name#pattern}` and its kin: `*`, `?` and escapes, no `[…]`.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Is(char),
    Any,
    Run,
}

/// A shell pattern.
#[derive(Debug)]
pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// Fails with the character after a backslash that escapes nothing.
    pub(super) fn parse(text: &str) -> Result<Self, char> {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Run,
                '?' => Token::Any,
                '\\' => match chars.next() {
                    Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Token::Is(c),
                    other => return Err(other.unwrap_or('\\')),
                },
                _ => Token::Is(c),
            });
        }
        Ok(Self(tokens))
    }

    /// `${name#pattern}` and `##`.
    pub(super) fn without_prefix(&self, value: &str, longest: bool) -> String {
        let value: Vec<char> = value.chars().collect();
        let length = self.ends(value.iter().copied(), longest).unwrap_or(0);
        value[length..].iter().collect()
    }

    /// `${name%pattern}` and `%%`.
    pub(super) fn without_suffix(&self, value: &str, longest: bool) -> String {
        let reversed = Self(self.0.iter().rev().copied().collect());
        let value: Vec<char> = value.chars().collect();
        let length = reversed.ends(value.iter().rev().copied(), longest).unwrap_or(0);
        value[..value.len() - length].iter().collect()
    }

    /// `${name/pattern/replacement}` and `//`: from the left, the longest match each time. What matches nothing is
    /// put in before each character, as Go's `regexp` does it.
    pub(super) fn replaced(&self, value: &str, replacement: &str, all: bool) -> String {
        let value: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let (mut at, mut matched_to) = (0, None);
        while at <= value.len() {
            let length = self.ends(value[at..].iter().copied(), true);
            let fresh = length.is_some_and(|length| length > 0 || matched_to != Some(at));
            let length = length.unwrap_or(0);
            if fresh {
                out += replacement;
                matched_to = Some(at + length);
            }
            if fresh && !all {
                at += length;
                break;
            }
            out.extend(value.get(at).filter(|_| length == 0));
            at += length.max(1);
        }
        out.extend(value.get(at..).unwrap_or_default());
        out
    }

    /// How many of the first characters match: the fewest, or the most.
    fn ends(&self, value: impl Iterator<Item = char>, longest: bool) -> Option<usize> {
        let mut reached = self.start();
        let mut found = reached[self.0.len()].then_some(0);
        for (at, c) in value.enumerate() {
            if (found.is_some() && !longest) || !reached.contains(&true) {
                break;
            }
            reached = self.step(&reached, c);
            if reached[self.0.len()] {
                found = Some(at + 1);
            }
        }
        found
    }

    /// Which positions of the pattern are reached before any character.
    fn start(&self) -> Vec<bool> {
        let runs = self.0.iter().take_while(|token| **token == Token::Run).count();
        (0..=self.0.len()).map(|at| at <= runs).collect()
    }

    fn step(&self, reached: &[bool], c: char) -> Vec<bool> {
        let mut next = vec![false; reached.len()];
        for (at, token) in self.0.iter().enumerate() {
            match token {
                Token::Run => {
                    next[at] |= reached[at];
                    next[at + 1] |= next[at];
                }
                Token::Any => next[at + 1] |= reached[at],
                Token::Is(wanted) => next[at + 1] |= reached[at] && *wanted == c,
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn the_ends_that_the_shell_takes_away() {
        let prefix = |p: &str, v: &str, l| Pattern::parse(p).unwrap().without_prefix(v, l);
        let suffix = |p: &str, v: &str, l| Pattern::parse(p).unwrap().without_suffix(v, l);
        assert_eq!(prefix("v", "v1.2", false), "1.2");
        assert_eq!(prefix("*.", "a.b.c", false), "b.c");
        assert_eq!(prefix("*.", "a.b.c", true), "c");
        assert_eq!(prefix("x*", "abc", true), "abc");
        assert_eq!(prefix("*", "abc", false), "abc");
        assert_eq!(prefix("*", "abc", true), "");
        assert_eq!(prefix("a?", "äbc", false), "äbc");
        assert_eq!(prefix("?b", "äbc", false), "c");
        assert_eq!(suffix(".*", "a.b.c", false), "a.b");
        assert_eq!(suffix(".*", "a.b.c", true), "a");
        assert_eq!(suffix(r"\*", "a*", true), "a");
    }

    #[test]
    fn replacements_are_leftmost_and_longest() {
        let replaced = |p: &str, v: &str, r: &str, all| Pattern::parse(p).unwrap().replaced(v, r, all);
        assert_eq!(replaced(".", "a.b.c", "_", false), "a_b.c");
        assert_eq!(replaced(".", "a.b.c", "_", true), "a_b_c");
        assert_eq!(replaced("a*c", "xabcbcx", "-", true), "x-x");
        assert_eq!(replaced(r"\/", "a/b", "", true), "ab");
        assert_eq!(replaced("", "ab", "-", true), "-a-b-");
        assert_eq!(replaced("", "ab", "-", false), "-ab");
        assert_eq!(replaced("*", "ab", "-", true), "-");
        assert_eq!(replaced("b", "ab", "-", true), "a-");
        assert_eq!(replaced("x", "", "-", true), "");
        assert_eq!(Pattern::parse(r"\a").unwrap_err(), 'a');
    }
}
