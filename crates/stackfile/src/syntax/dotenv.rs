//! The dotenv grammar: files of variables.
//!
//! Single quotes are literal, double quotes and bare values are templates; escapes work in double quotes only;
//! a comment after a bare value needs a space before it; a name without `=` takes its value from outside.

use super::template::{self, Lookup, TemplateError};
use indexmap::IndexMap;

/// Variables in the order of the file.
pub type Variables = IndexMap<String, String>;

/// Why a file of variables can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DotenvError {
    /// 1-based line.
    pub line: u32,
    /// The reason.
    pub reason: String,
}

/// Reads variables into `variables`. A template sees `lookup` first, then what was read before.
///
/// # Errors
/// The first line that can't be read.
pub fn parse(text: &str, variables: &mut Variables, lookup: &dyn Lookup) -> Result<(), DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { text, at: 0, lookup };
    while reader.skip_to_statement() {
        let start = reader.at;
        let (key, inherited) = reader.key()?;
        if key.contains(' ') {
            return Err(reader.error(start, format!("the name `{key}` contains a space")));
        }
        if inherited {
            if let Some(value) = lookup.get(&key) {
                variables.insert(key, value);
            }
            continue;
        }
        let value = reader.value(variables)?;
        variables.insert(key, value);
    }
    Ok(())
}

/// `format: raw`: everything after the first `=` is the value, nothing is replaced.
///
/// # Errors
/// The first line without a name.
pub fn parse_raw(text: &str, variables: &mut Variables, lookup: &dyn Lookup) -> Result<(), DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (line.trim_end(), lookup.get(line.trim_end())),
        };
        if key.is_empty() || key.contains(char::is_whitespace) {
            let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
            return Err(DotenvError { line, reason: format!("`{key}` is not a variable name") });
        }
        if let Some(value) = value {
            variables.insert(key.to_owned(), value);
        }
    }
    Ok(())
}

/// The 1-based line that last gives a variable its value.
#[must_use]
pub fn line_of(text: &str, name: &str) -> usize {
    let gives = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        line.strip_prefix(name)
            .is_some_and(|rest| rest.trim_start().starts_with(['=', ':']) || rest.trim().is_empty())
    };
    let lines = text.lines().enumerate();
    lines.filter(|(_, line)| gives(line)).last().map_or(1, |(index, _)| index + 1)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    lookup: &'a dyn Lookup,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, at: usize, reason: String) -> DotenvError {
        let newlines = self.text[..at].bytes().filter(|b| *b == b'\n').count();
        DotenvError { line: u32::try_from(newlines + 1).unwrap_or(u32::MAX), reason }
    }

    /// Skips space, empty lines and comments; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.is_empty() {
                return false;
            }
            if !trimmed.starts_with('#') {
                return true;
            }
            match trimmed.find('\n') {
                Some(end) => self.at += end,
                None => return false,
            }
        }
    }

    /// The name, and whether it stands alone on its line.
    fn key(&mut self) -> Result<(String, bool), DotenvError> {
        if let Some(after) = self.rest().strip_prefix("export")
            && after.starts_with(['\t', '\n', '\u{c}', '\r', ' '])
        {
            self.at = self.text.len() - after.trim_start_matches(is_inline_space).len();
        }
        let start = self.at;
        let src = self.rest();
        for (offset, c) in src.char_indices() {
            match c {
                '=' | ':' | '\n' => {
                    let key = src[..offset].trim_end().to_owned();
                    self.at = start + offset + 1;
                    self.skip_inline_space();
                    return Ok((key, c == '\n'));
                }
                '_' | '.' | '-' | '[' | ']' => {}
                c if is_inline_space(c) || c.is_alphanumeric() => {}
                c => {
                    let line = src.split('\n').next().unwrap_or_default();
                    return Err(self.error(start, format!("unexpected character `{c}` in the name `{line}`")));
                }
            }
        }
        // The file ends inside the name: the reference takes the text for the value of an empty name.
        self.skip_inline_space();
        Ok((String::new(), false))
    }

    fn skip_inline_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_inline_space).len();
    }

    fn value(&mut self, variables: &Variables) -> Result<String, DotenvError> {
        let start = self.at;
        match self.rest().as_bytes().first() {
            Some(b'"') => {
                let raw = self.quoted('"')?;
                self.expand(&unescape(&raw), variables, start)
            }
            Some(b'\'') => self.quoted('\''),
            _ => {
                let rest = self.rest();
                let line = rest.split('\n').next().unwrap_or_default();
                self.at += (line.len() + 1).min(rest.len());
                let value = line.split(" #").next().unwrap_or_default().trim_end();
                self.expand(value, variables, start)
            }
        }
    }

    fn expand(&self, value: &str, variables: &Variables, start: usize) -> Result<String, DotenvError> {
        let lookup = |name: &str| self.lookup.get(name).or_else(|| variables.get(name).cloned());
        match template::substitute(value, &lookup) {
            Ok(outcome) => Ok(outcome.text),
            Err(error) => Err(self.error(start, describe(&error))),
        }
    }

    /// The text up to the closing quote; a backslash before the quote is dropped, others stay.
    fn quoted(&mut self, quote: char) -> Result<String, DotenvError> {
        let start = self.at;
        let src = self.rest();
        let mut value = String::new();
        let mut escaped = false;
        for (offset, c) in src.char_indices().skip(1) {
            if c == quote && !escaped {
                self.at = start + offset + 1;
                return Ok(value);
            }
            if c == '\\' && !escaped {
                escaped = true;
                continue;
            }
            if escaped && c != quote {
                value.push('\\');
            }
            escaped = false;
            value.push(c);
        }
        let line = src.split('\n').next().unwrap_or_default();
        Err(self.error(start, format!("the quoted value is never closed: {line}")))
    }
}

/// What a template error means inside a file of variables.
fn describe(error: &TemplateError) -> String {
    match error {
        TemplateError::Invalid => "invalid variable expression; a literal `$` is written `$$`".to_owned(),
        TemplateError::Required { name, reason } if reason.is_empty() => {
            format!("the required variable {name} is not set")
        }
        TemplateError::Required { name, reason } => {
            format!("the required variable {name} is not set: {reason}")
        }
        TemplateError::TooDeep => "variables are nested too deep".to_owned(),
        TemplateError::TooLong => "the value becomes too long".to_owned(),
    }
}

/// Space within a line.
fn is_inline_space(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// Escapes of double-quoted values: `\a \b \f \n \r \t \v \" \\`, `\$` for a literal dollar, `\0nnn` octal.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match rest.as_bytes().get(1) {
            Some(b'0') => octal(rest, &mut out),
            Some(b) => simple_escape(*b, &mut out),
            None => None,
        };
        if let Some(length) = taken {
            rest = &rest[length..];
        } else {
            out.push('\\');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

fn simple_escape(b: u8, out: &mut String) -> Option<usize> {
    match b {
        b'a' => out.push('\u{7}'),
        b'b' => out.push('\u{8}'),
        b'f' => out.push('\u{c}'),
        b'n' => out.push('\n'),
        b'r' => out.push('\r'),
        b't' => out.push('\t'),
        b'v' => out.push('\u{b}'),
        b'"' => out.push('"'),
        b'\\' => out.push('\\'),
        // A literal dollar must survive the replacement of variables that follows.
        b'$' => out.push_str("$$"),
        b'c' => out.push_str("\\c"),
        _ => return None,
    }
    Some(2)
}

/// `\0` and up to three digits; what is no octal number stays, without the zero.
fn octal(rest: &str, out: &mut String) -> Option<usize> {
    let digits = rest[2..].bytes().take(3).take_while(u8::is_ascii_digit).count();
    let text = &rest[2..2 + digits];
    match u32::from_str_radix(text, 8).ok().filter(|_| digits == 3).filter(|code| *code < 256) {
        Some(code) => out.extend(char::from_u32(code)),
        None => {
            out.push('\\');
            out.push_str(text);
        }
    }
    Some(2 + digits)
}

#[cfg(test)]
mod tests {
    use super::{Variables, line_of, parse, parse_raw};

    const FILE: &str = "# comment\nexport A=1 # one\nB = 'x\\n$A' # two\nC: \"l1\\nl2 ${A}\"\nD=a#b\nE=\"two\nlines\"\nOUTER\nF=$A$$B\n";

    #[test]
    fn the_grammar() {
        let outer = |name: &str| (name == "OUTER").then(|| "from outside".to_owned());
        let mut variables = Variables::new();
        parse(FILE, &mut variables, &outer).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "x\\n$A"),
            ("C", "l1\nl2 1"),
            ("D", "a#b"),
            ("E", "two\nlines"),
            ("OUTER", "from outside"),
            ("F", "1$B"),
        ];
        let got: Vec<(&str, &str)> = variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(got, expected);
        assert_eq!(line_of(FILE, "C"), 4);
    }

    #[test]
    fn raw_replaces_nothing() {
        let mut variables = Variables::new();
        parse_raw("A='$B' # no comment\n#x\n", &mut variables, &|_: &str| None).unwrap();
        assert_eq!(variables["A"], "'$B' # no comment");
    }

    #[test]
    fn errors_name_their_line() {
        let error = parse("A=1\n\nB C=2\n", &mut Variables::new(), &|_: &str| None).unwrap_err();
        assert_eq!(error.line, 3);
        let error = parse("A=\"x\n", &mut Variables::new(), &|_: &str| None).unwrap_err();
        assert!(error.reason.contains("never closed"));
    }
}
