//! Variables, quotes and escapes in the words of instructions.
//!
//! The rules are those of BuildKit's front end: a small part of the shell's, and `${}` in the forms that the
//! Dockerfile reference lists. What a command means to its shell is not touched here.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::pattern::Pattern;

/// A word that grows beyond this is refused: the kernel would not pass it to a program either.
const LONGEST_WORD: usize = 128 * 1024;
/// How deep `${a:-${b:-…}}` may go.
const DEEPEST: usize = 64;

/// What to do with quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// They group, and go.
    Remove,
    /// They group, and stay.
    Keep,
    /// They are characters like others: the content of a here-document.
    Ignore,
}

/// How many characters may be compared for one pattern.
const MOST_STEPS: usize = 20_000_000;

/// Why a word can't be expanded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpandError {
    #[error("a quote {0} is not closed")]
    Quote(char),
    #[error("a ${{ has no {0} that ends it")]
    Open(char),
    #[error("${{}} needs a name")]
    NoName,
    #[error("${{…{0}}} is not a form of substitution")]
    Form(String),
    #[error("{name}: {message}")]
    Required { name: String, message: String },
    #[error("\\{0} is not an escape in a pattern")]
    PatternEscape(char),
    #[error("the value would be longer than {0} bytes")]
    TooLong(usize),
    #[error("the pattern would take too long to match")]
    TooSlow,
    #[error("substitutions are nested more than {DEEPEST} deep")]
    TooDeep,
}

/// Expands words with the variables of `lookup`.
pub(crate) struct Expander<'a> {
    pub(crate) escape: char,
    pub(crate) quotes: Quotes,
    pub(crate) keep_escapes: bool,
    /// Leaves `$name` as it is where there is no such variable.
    pub(crate) keep_unset: bool,
    /// In bytes; what grows beyond is refused.
    pub(crate) longest: usize,
    pub(crate) lookup: &'a dyn Fn(&str) -> Option<String>,
    /// The names that were asked for in vain.
    pub(crate) unset: RefCell<BTreeSet<String>>,
}

impl<'a> Expander<'a> {
    pub(crate) fn new(escape: char, lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let unset = RefCell::default();
        Self {
            escape,
            quotes: Quotes::Remove,
            keep_escapes: false,
            keep_unset: false,
            longest: LONGEST_WORD,
            lookup,
            unset,
        }
    }

    /// The whole text as one word, blanks included.
    pub(crate) fn word(&self, text: &str) -> Result<String, ExpandError> {
        Ok(self.run(text)?.text)
    }

    /// The text split at blanks, after expansion; quoted blanks don't split.
    pub(crate) fn words(&self, text: &str) -> Result<Vec<String>, ExpandError> {
        Ok(self.run(text)?.into_words())
    }

    fn run(&self, text: &str) -> Result<Output, ExpandError> {
        let mut scan = Scan { rules: self, text: text.chars().collect(), at: 0, depth: 0 };
        scan.until(None, self.keep_escapes)
    }
}

/// One text as a whole and as words.
#[derive(Default)]
struct Output {
    text: String,
    words: Vec<String>,
    word: String,
}

impl Output {
    /// A character that may end a word.
    fn push(&mut self, c: char) {
        self.text.push(c);
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    /// A character that was quoted or escaped.
    fn push_raw(&mut self, c: char) {
        self.text.push(c);
        self.word.push(c);
    }

    fn into_words(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

struct Scan<'a> {
    rules: &'a Expander<'a>,
    text: Vec<char>,
    at: usize,
    depth: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    /// Up to `stop`, which is consumed, or to the end if there is none.
    fn until(&mut self, stop: Option<char>, keep_escapes: bool) -> Result<Output, ExpandError> {
        let mut out = Output::default();
        let quotes = self.rules.quotes != Quotes::Ignore;
        while let Some(c) = self.next() {
            if Some(c) == stop {
                return Ok(out);
            }
            match c {
                '$' => self.dollar()?.chars().for_each(|c| out.push(c)),
                '\'' if quotes => self.single()?.chars().for_each(|c| out.push_raw(c)),
                '"' if quotes => self.double(keep_escapes)?.chars().for_each(|c| out.push_raw(c)),
                '<' if self.peek() == Some('<') => self.heredoc(&mut out),
                _ if c == self.rules.escape => self.escaped(keep_escapes, &mut out),
                _ => out.push(c),
            }
            if out.text.len() > self.rules.longest {
                return Err(ExpandError::TooLong(self.rules.longest));
            }
        }
        stop.map_or(Ok(out), |stop| Err(ExpandError::Open(stop)))
    }

    fn escaped(&mut self, keep: bool, out: &mut Output) {
        if keep {
            out.push_raw(self.rules.escape);
        }
        // An escape at the very end escapes nothing and goes.
        if let Some(c) = self.next() {
            out.push_raw(c);
        }
    }

    /// `<<` or `<<-` and the blanks after it belong to one word with what follows.
    fn heredoc(&mut self, out: &mut Output) {
        self.at += 1;
        out.push_raw('<');
        out.push_raw('<');
        if self.eat('-') {
            out.push_raw('-');
        }
        while let Some(c @ (' ' | '\t' | '\r')) = self.peek() {
            self.at += 1;
            out.push_raw(c);
        }
    }

    fn single(&mut self) -> Result<String, ExpandError> {
        let keep = self.rules.quotes == Quotes::Keep;
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|c| *c == '\'').ok_or(ExpandError::Quote('\''))?;
        let inside: String = rest[..length].iter().collect();
        self.at += length + 1;
        Ok(if keep { format!("'{inside}'") } else { inside })
    }

    /// Variables count inside, and the escape only before `"`, `$` and itself.
    fn double(&mut self, keep_escapes: bool) -> Result<String, ExpandError> {
        let keep = self.rules.quotes == Quotes::Keep;
        let mut out = String::from(if keep { "\"" } else { "" });
        loop {
            let c = self.next().ok_or(ExpandError::Quote('"'))?;
            match c {
                '"' => break,
                '$' => out += &self.dollar()?,
                _ if c == self.rules.escape => match self.peek() {
                    Some(next) if next == '"' || next == '$' || next == c => {
                        self.at += 1;
                        out.extend(keep_escapes.then_some(c));
                        out.push(next);
                    }
                    Some(_) => out.push(c),
                    None => {}
                },
                _ => out.push(c),
            }
            if out.len() > self.rules.longest {
                return Err(ExpandError::TooLong(self.rules.longest));
            }
        }
        out.extend(keep.then_some('"'));
        Ok(out)
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        let start = self.at - 1;
        if !self.eat('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            let value = self.value(&name);
            return Ok(self.or_as_written(value, start));
        }
        if self.depth == DEEPEST {
            return Err(ExpandError::TooDeep);
        }
        self.depth += 1;
        let value = self.substitution(start)?;
        self.depth -= 1;
        Ok(value)
    }

    fn or_as_written(&self, value: Option<String>, start: usize) -> String {
        let written = || self.text[start..self.at].iter().collect();
        value.unwrap_or_else(|| if self.rules.keep_unset { written() } else { String::new() })
    }

    fn value(&self, name: &str) -> Option<String> {
        let value = (self.rules.lookup)(name);
        if value.is_none() {
            self.rules.unset.borrow_mut().insert(name.to_owned());
        }
        value
    }

    /// A name, a number, or one of the shell's special parameters, which are never set here.
    fn name(&mut self) -> String {
        let rest = &self.text[self.at..];
        let of = |matches: fn(&char) -> bool| rest.iter().take_while(|c| matches(c)).count();
        let length = match rest.first() {
            Some(c) if c.is_numeric() => of(|c| c.is_numeric()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => of(|c| c.is_alphanumeric() || *c == '_'),
        };
        let name = rest[..length].iter().collect();
        self.at += length;
        name
    }

    /// After `${`.
    fn substitution(&mut self, start: usize) -> Result<String, ExpandError> {
        let name = self.name();
        if name.is_empty() {
            let closed = self.peek().is_some();
            return Err(if closed { ExpandError::NoName } else { ExpandError::Open('}') });
        }
        let mut form = self.next().ok_or(ExpandError::Open('}'))?;
        let colon = form == ':';
        if colon {
            form = self.next().ok_or(ExpandError::Open('}'))?;
        }
        match form {
            '}' if !colon => {
                let value = self.value(&name);
                Ok(self.or_as_written(value, start))
            }
            '-' | '+' | '?' => self.conditional(start, &name, form, colon),
            '#' | '%' if !colon => self.trimmed(start, &name, form),
            '/' if !colon => self.replaced(start, &name),
            _ if colon => Err(ExpandError::Form(format!(":{form}"))),
            _ => Err(ExpandError::Form(form.to_string())),
        }
    }

    fn conditional(
        &mut self,
        start: usize,
        name: &str,
        form: char,
        colon: bool,
    ) -> Result<String, ExpandError> {
        let word = self.until(Some('}'), false)?.text;
        let value = (self.rules.lookup)(name);
        if value.is_none() && self.rules.keep_unset {
            return Ok(self.or_as_written(None, start));
        }
        let unset = value.is_none();
        match (form, value.filter(|value| !colon || !value.is_empty())) {
            ('+', Some(_)) | ('-', None) => Ok(word),
            ('+', None) => Ok(String::new()),
            ('?', None) => {
                let what = if unset { "must be set" } else { "must not be empty" };
                let message = if word.is_empty() { what.to_owned() } else { word };
                Err(ExpandError::Required { name: name.to_owned(), message })
            }
            (_, value) => Ok(value.unwrap_or_default()),
        }
    }

    fn trimmed(&mut self, start: usize, name: &str, form: char) -> Result<String, ExpandError> {
        let longest = self.eat(form);
        let pattern = self.until(Some('}'), true)?.text;
        let Some(value) = self.value(name) else { return Ok(self.or_as_written(None, start)) };
        let pattern = pattern_for(&pattern, &value, 1)?;
        Ok(if form == '#' {
            pattern.without_prefix(&value, longest)
        } else {
            pattern.without_suffix(&value, longest)
        })
    }

    fn replaced(&mut self, start: usize, name: &str) -> Result<String, ExpandError> {
        let all = self.eat('/');
        let pattern = self.until(Some('/'), true)?.text;
        let replacement = self.until(Some('}'), true)?.text;
        let Some(value) = self.value(name) else { return Ok(self.or_as_written(None, start)) };
        let pattern = pattern_for(&pattern, &value, value.len())?;
        let replaced = pattern.replaced(&value, &replacement, all);
        if replaced.len() > self.rules.longest {
            Err(ExpandError::TooLong(self.rules.longest))
        } else {
            Ok(replaced)
        }
    }
}

/// The pattern, unless to look for it `times` in the value would take for ever.
fn pattern_for(text: &str, value: &str, times: usize) -> Result<Pattern, ExpandError> {
    if text.len().saturating_mul(value.len()).saturating_mul(times) > MOST_STEPS {
        return Err(ExpandError::TooSlow);
    }
    Pattern::parse(text).map_err(ExpandError::PatternEscape)
}
