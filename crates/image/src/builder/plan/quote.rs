//! Values as Go prints them, which is how the history of images looks.

/// Go's `%q` of a string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out += "\\n",
            '\t' => out += "\\t",
            '\r' => out += "\\r",
            '\u{7}' => out += "\\a",
            '\u{8}' => out += "\\b",
            '\u{b}' => out += "\\v",
            '\u{c}' => out += "\\f",
            c if c.is_ascii_control() => out += &format!("\\x{:02x}", u32::from(c)),
            c if c.is_control() => out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out + "\""
}

/// Go's `%q` of a list of strings.
pub(super) fn quoted_list(words: &[String]) -> String {
    format!("[{}]", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// Go's `%v` of a list of strings.
pub(super) fn list(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

#[cfg(test)]
mod tests {
    #[test]
    fn lists_look_as_in_go() {
        let words = ["a b", "say \"x\"\n", "\u{1}é"].map(str::to_owned);
        assert_eq!(super::quoted_list(&words), r#"["a b" "say \"x\"\n" "\x01é"]"#);
        assert_eq!(super::list(&words[..1]), "[a b]");
    }
}
