//! A command line to words, with a shell's quoting and nothing else of a shell.
//!
//! As in the reference, an unquoted `;`, `&`, `|`, `<` or `>` ends the command: the rest is not run. A lint
//! tells when that happens.

/// The words, and whether an operator cut the line off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The words.
    pub words: Vec<String>,
    /// The rest of the line from the first unquoted operator on.
    pub cut: Option<String>,
}

#[derive(Default)]
struct Quotes {
    escaped: bool,
    single: bool,
    double: bool,
    backtick: bool,
    dollar: bool,
}

impl Quotes {
    fn spaces_kept(&self) -> bool {
        self.single || self.double || self.backtick || self.dollar
    }
}

/// Splits a line into words.
///
/// # Errors
/// The text of the reason: a quote or parenthesis that doesn't close.
pub fn split(line: &str) -> Result<Words, String> {
    let invalid = || "a quote or parenthesis in this command is never closed".to_owned();
    let mut quotes = Quotes::default();
    let mut out = Words::default();
    let mut word: Option<String> = None;
    for (at, c) in line.char_indices() {
        if quotes.escaped {
            quotes.escaped = false;
            word.get_or_insert_default().push(c);
            continue;
        }
        if c == '\\' && !quotes.single {
            quotes.escaped = true;
            continue;
        }
        if matches!(c, ' ' | '\t' | '\r' | '\n') && !quotes.spaces_kept() {
            out.words.extend(word.take());
            continue;
        }
        match c {
            '`' if !quotes.single && !quotes.double && !quotes.dollar => quotes.backtick = !quotes.backtick,
            ')' if !quotes.single && !quotes.double && !quotes.backtick => quotes.dollar = !quotes.dollar,
            '(' if !quotes.single && !quotes.double && !quotes.backtick => {
                if quotes.dollar || !word.as_ref().is_some_and(|word| word.ends_with('$')) {
                    return Err(invalid());
                }
                quotes.dollar = true;
            }
            '"' if !quotes.single && !quotes.dollar => {
                quotes.double = !quotes.double;
                word.get_or_insert_default();
                continue;
            }
            '\'' if !quotes.double && !quotes.dollar => {
                quotes.single = !quotes.single;
                word.get_or_insert_default();
                continue;
            }
            ';' | '&' | '|' | '<' | '>' if !quotes.spaces_kept() => {
                out.cut = Some(line[at..].to_owned());
                if c == '>' && word.as_ref().is_some_and(|w| w.starts_with(|c: char| c.is_ascii_digit())) {
                    word = None;
                }
                break;
            }
            _ => {}
        }
        word.get_or_insert_default().push(c);
    }
    if quotes.escaped || quotes.spaces_kept() {
        return Err(invalid());
    }
    out.words.extend(word);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words() {
        let table: [(&str, &[&str]); 7] = [
            ("a b  c", &["a", "b", "c"]),
            ("sh -c 'a b' \"c d\"", &["sh", "-c", "a b", "c d"]),
            ("a\\ b ''", &["a b", ""]),
            ("echo $(date now)", &["echo", "$(date now)"]),
            ("a | b", &["a"]),
            ("run 2>&1", &["run"]),
            ("", &[]),
        ];
        for (line, words) in table {
            assert_eq!(split(line).unwrap().words, words, "{line}");
        }
        assert_eq!(split("a | b").unwrap().cut.as_deref(), Some("| b"));
        for line in ["'a", "a \\", "a (b)", "a )"] {
            assert!(split(line).is_err(), "{line}");
        }
    }
}
