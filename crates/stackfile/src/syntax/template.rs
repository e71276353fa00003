//! Variables in text: `$NAME`, `${NAME}`, `${NAME:-default}`, `:?`, `:+` and their forms without a colon,
//! nested, `$$` for a dollar.
//!
//! The grammar is the reference's, corners included: a braced expression runs to the last `}` of its line and
//! is then cut at the brace that balances it; `$` before anything else is an ordinary character.

/// Looks a variable up.
pub trait Lookup {
    /// The value of a variable, when it is set.
    fn get(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Lookup for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// Why a template can't be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// `${` without a name and a closing brace.
    Invalid,
    /// A variable that must be set isn't.
    Required {
        /// Its name.
        name: String,
        /// The text after `?`.
        reason: String,
    },
    /// Nested too deep.
    TooDeep,
    /// The result is larger than [`MAX_RESULT`].
    TooLong,
}

/// One use of a variable in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The name.
    pub name: String,
    /// The text after `-`.
    pub default: String,
    /// The text after `+`.
    pub alternate: String,
    /// Whether `?` demands it.
    pub required: bool,
}

/// Templates nested deeper than this are refused.
const MAX_NESTING: usize = 50;
/// Results longer than this many bytes are refused.
pub const MAX_RESULT: usize = 4 << 20;

/// What a replacement gave, beside the text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The text.
    pub text: String,
    /// Variables that are not set and have no default: they became empty.
    pub unset: Vec<String>,
}

/// Replaces all variables of a template.
///
/// # Errors
/// See [`TemplateError`].
pub fn substitute(template: &str, lookup: &dyn Lookup) -> Result<Outcome, TemplateError> {
    let mut outcome = Outcome::default();
    let mut text = String::with_capacity(template.len());
    Replacer { lookup, unset: &mut outcome.unset }.replace(template, &mut text, 0)?;
    outcome.text = text;
    Ok(outcome)
}

struct Replacer<'a> {
    lookup: &'a dyn Lookup,
    unset: &'a mut Vec<String>,
}

/// An operator between name and text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operator {
    Default,
    Require,
    Alternate,
}

impl Replacer<'_> {
    fn replace(&mut self, template: &str, out: &mut String, depth: usize) -> Result<(), TemplateError> {
        if depth > MAX_NESTING {
            return Err(TemplateError::TooDeep);
        }
        let mut rest = template;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            match next_token(rest) {
                Token::Dollar => {
                    out.push('$');
                    rest = &rest[1..];
                }
                Token::Name(name) => {
                    self.plain(name, out);
                    rest = &rest[name.len()..];
                }
                Token::Braced(whole) => {
                    self.braced(whole, out, depth)?;
                    rest = &rest[whole.len() + 1..];
                }
                Token::Invalid => return Err(TemplateError::Invalid),
                Token::Literal => out.push('$'),
            }
            if out.len() > MAX_RESULT {
                return Err(TemplateError::TooLong);
            }
        }
        out.push_str(rest);
        Ok(())
    }

    fn plain(&mut self, name: &str, out: &mut String) {
        match self.lookup.get(name) {
            Some(value) => out.push_str(&value),
            None => self.unset.push(name.to_owned()),
        }
    }

    /// `whole` runs to the last brace of the line; what follows the balancing brace is a template again.
    fn braced(&mut self, whole: &str, out: &mut String, depth: usize) -> Result<(), TemplateError> {
        let (expression, rest) = cut_at_balance(whole);
        match split_operator(expression) {
            None => self.plain(expression, out),
            Some((name, operator, colon, text)) => {
                let value = self.lookup.get(name);
                let present = value.as_ref().is_some_and(|value| !colon || !value.is_empty());
                match operator {
                    Operator::Default if present => out.push_str(&value.unwrap_or_default()),
                    Operator::Default => self.replace(text, out, depth + 1)?,
                    Operator::Alternate if present => self.replace(text, out, depth + 1)?,
                    Operator::Alternate => out.push_str(&value.unwrap_or_default()),
                    Operator::Require if present => out.push_str(&value.unwrap_or_default()),
                    Operator::Require => {
                        let mut reason = String::new();
                        self.replace(text, &mut reason, depth + 1)?;
                        return Err(TemplateError::Required { name: name.to_owned(), reason });
                    }
                }
            }
        }
        self.replace(rest, out, depth + 1)
    }
}

enum Token<'a> {
    Dollar,
    Name(&'a str),
    /// After the opening brace, through the last closing one.
    Braced(&'a str),
    Invalid,
    Literal,
}

/// What follows a `$`.
fn next_token(rest: &str) -> Token<'_> {
    match rest.as_bytes().first() {
        Some(b'$') => Token::Dollar,
        Some(b'{') => braced_token(&rest[1..]),
        Some(b) if is_name_start(*b) => Token::Name(&rest[..name_length(rest)]),
        _ => Token::Literal,
    }
}

fn braced_token(rest: &str) -> Token<'_> {
    let length = match rest.as_bytes().first() {
        Some(b) if is_name_start(*b) => name_length(rest),
        _ => return Token::Invalid,
    };
    let after = &rest[length..];
    let operator = after.strip_prefix(':').unwrap_or(after);
    if operator.starts_with(['-', '+', '?']) {
        let line = rest.find('\n').map_or(rest, |end| &rest[..end]);
        if let Some(close) = line.rfind('}')
            && close > length
        {
            return Token::Braced(&rest[..=close]);
        }
        return Token::Invalid;
    }
    if after.starts_with('}') { Token::Braced(&rest[..=length]) } else { Token::Invalid }
}

fn is_name_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_'
}

fn name_length(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

/// Splits at the brace that balances the opening one. As in the reference, the character after an opening
/// brace is not looked at, and without a balance the last brace closes.
fn cut_at_balance(whole: &str) -> (&str, &str) {
    let bytes = whole.as_bytes();
    let (mut open, mut at) = (1_usize, 1);
    while at < bytes.len() {
        match bytes[at] {
            b'}' if open == 1 => return (&whole[..at], &whole[at + 1..]),
            b'}' => open -= 1,
            b'{' => {
                open += 1;
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    (&whole[..whole.len() - 1], "")
}

/// Name, operator, whether it has a colon, and the text after it.
fn split_operator(expression: &str) -> Option<(&str, Operator, bool, &str)> {
    let (name, rest) = expression.split_at(name_length(expression));
    let (colon, rest) = match rest.strip_prefix(':') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let operator = match rest.as_bytes().first()? {
        b'-' => Operator::Default,
        b'?' => Operator::Require,
        b'+' => Operator::Alternate,
        _ => return None,
    };
    Some((name, operator, colon, &rest[1..]))
}

/// All variables a template uses, those in defaults included.
#[must_use]
pub fn uses(template: &str) -> Vec<Use> {
    let mut found = Vec::new();
    collect(template, &mut found, 0);
    found
}

fn collect(template: &str, found: &mut Vec<Use>, depth: usize) {
    let mut rest = template;
    while let Some(at) = rest.find('$').filter(|_| depth <= MAX_NESTING) {
        rest = &rest[at + 1..];
        match next_token(rest) {
            Token::Dollar => rest = &rest[1..],
            Token::Name(name) => {
                found.push(Use::plain(name));
                rest = &rest[name.len()..];
            }
            Token::Braced(whole) => {
                let (expression, after) = cut_at_balance(whole);
                collect_expression(expression, found, depth);
                collect(after, found, depth + 1);
                rest = &rest[whole.len() + 1..];
            }
            Token::Invalid | Token::Literal => {}
        }
    }
}

fn collect_expression(expression: &str, found: &mut Vec<Use>, depth: usize) {
    let Some((name, operator, _, text)) = split_operator(expression) else {
        found.push(Use::plain(expression));
        return;
    };
    let mut variable = Use::plain(name);
    match operator {
        Operator::Default => text.clone_into(&mut variable.default),
        Operator::Alternate => text.clone_into(&mut variable.alternate),
        Operator::Require => variable.required = true,
    }
    found.push(variable);
    if operator != Operator::Require {
        collect(text, found, depth + 1);
    }
}

impl Use {
    fn plain(name: &str) -> Self {
        Self { name: name.to_owned(), default: String::new(), alternate: String::new(), required: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let table = [
            ("$FOO ${FOO} $$FOO $", "first first $FOO $"),
            ("${NO:-a${FOO}b}c", "afirstbc"),
            ("${NO:-{{x}}}", "{{x}}"),
            ("${NO:-{}}", "{}"),
            ("${EMPTY-d}|${EMPTY:-d}|${NO-d}", "|d|d"),
            ("${FOO:+yes}|${EMPTY:+yes}|${EMPTY+yes}|${NO+yes}", "yes||yes|"),
            ("${FOO}${NO:-x}${FOO:-y}", "firstxfirst"),
            ("${NO:-${NO2:-deep}}", "deep"),
            ("$1 a$ $-", "$1 a$ $-"),
        ];
        let lookup = |name: &str| match name {
            "FOO" => Some("first".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (template, expected) in table {
            let outcome = substitute(template, &lookup).unwrap();
            assert_eq!(outcome.text, expected, "{template}");
        }
        assert_eq!(substitute("${", &lookup), Err(TemplateError::Invalid));
        assert_eq!(substitute("${FOO BAR}", &lookup), Err(TemplateError::Invalid));
        assert_eq!(substitute("$NO", &lookup).unwrap().unset, ["NO"]);
    }

    #[test]
    fn uses_are_found_in_defaults() {
        let names: Vec<String> = uses("$A ${B:-${C:-x}} ${D?}").into_iter().map(|u| u.name).collect();
        assert_eq!(names, ["A", "B", "C", "D"]);
    }
}
