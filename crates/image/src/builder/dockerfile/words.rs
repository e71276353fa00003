//! How the rest of a logical line falls into parts: flags, JSON arrays, blank-separated words, name=value pairs.

/// A line's first word and what comes after it.
pub(super) fn keyword(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(blank).map_or((text, ""), |(keyword, rest)| (keyword, rest.trim()))
}

fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\u{b}' | '\u{c}')
}

/// Words separated by blanks; quotes mean nothing.
pub(super) fn plain(rest: &str) -> Vec<String> {
    rest.split(blank).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The words that start with `--`, quotes and escapes removed, and what comes after them. A lone `--` ends them.
pub(super) fn flags(rest: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = rest.trim_start();
    while rest.starts_with("--") {
        let (flag, after) = flag(rest, escape);
        rest = after.trim_start();
        if flag == "--" {
            break;
        }
        flags.push(flag);
    }
    (flags, rest.trim_end())
}

fn flag(rest: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            _ if c == escape => word.extend(chars.next().map(|(_, c)| c)),
            Some(open) if c == open => quote = None,
            Some(_) => word.push(c),
            None if c.is_whitespace() => return (word, &rest[at..]),
            None if c == '\'' || c == '"' => quote = Some(c),
            None => word.push(c),
        }
    }
    (word, "")
}

/// An array of strings; `None` if this is no JSON array at all, an error if it holds something else.
pub(super) fn json(rest: &str) -> Result<Option<Vec<String>>, &'static str> {
    let rest = rest.trim_start();
    if !rest.starts_with('[') {
        return Ok(None);
    }
    match serde_json::from_str::<Vec<serde_json::Value>>(rest) {
        Err(_) => Ok(None),
        Ok(values) => {
            let texts = values.into_iter().map(|value| match value {
                serde_json::Value::String(text) => Ok(text),
                _ => Err("an array may hold strings only"),
            });
            texts.collect::<Result<_, _>>().map(Some)
        }
    }
}

/// Words separated by blanks outside quotes; quotes and escapes stay, for expansion.
pub(super) fn quoted(rest: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        if c == escape && quote != Some('\'') {
            // An escape at the very end goes.
            if let Some(next) = chars.next() {
                word.extend([c, next]);
            }
            continue;
        }
        match quote {
            None if c.is_whitespace() => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// `name=value …`, or the old form `name value`, where the value is all the rest.
pub(super) fn pairs(rest: &str, escape: char) -> Result<Vec<(String, String)>, String> {
    let words = quoted(rest, escape);
    let Some(first) = words.first() else { return Err("needs at least one argument".to_owned()) };
    if !first.contains('=') {
        let (name, value) = rest.split_once(blank).ok_or("needs a name and a value: NAME=VALUE")?;
        return Ok(vec![(name.to_owned(), value.trim_start_matches(blank).to_owned())]);
    }
    let pair = |word: &String| {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("{word} has no `=`: NAME=VALUE"))?;
        if name.is_empty() {
            return Err(format!("{word} has no name before its `=`"));
        }
        Ok((name.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_end_at_the_first_other_word() {
        let (flags, rest) = flags(r#"--a=1 --b="x y" --c=\ z w --d "#, '\\');
        assert_eq!(flags, ["--a=1", "--b=x y", "--c= z"]);
        assert_eq!(rest, "w --d");
        assert_eq!(super::flags("-- --a b", '\\'), (vec![], "--a b"));
        assert_eq!(super::flags("--a", '\\'), (vec!["--a".to_owned()], ""));
    }

    #[test]
    fn arrays_are_json_or_nothing() {
        assert_eq!(json(r#" ["a", "b\n"]"#), Ok(Some(vec!["a".to_owned(), "b\n".to_owned()])));
        assert_eq!(json("[ -e x ]"), Ok(None));
        assert_eq!(json("['a']"), Ok(None));
        assert_eq!(json(r#"["a"] b"#), Ok(None));
        assert!(json(r#"["a", 1]"#).is_err());
    }

    #[test]
    fn pairs_in_both_forms() {
        let pairs = |rest| {
            pairs(rest, '\\').map(|all| all.iter().map(|(n, v)| format!("{n}|{v}")).collect::<Vec<_>>())
        };
        assert_eq!(pairs(r#"a="b c" d=e\ f g="#).unwrap(), [r#"a|"b c""#, r"d|e\ f", "g|"]);
        assert_eq!(pairs("old a  value").unwrap(), ["old|a  value"]);
        assert_eq!(pairs(r#""quoted name"=x"#).unwrap(), [r#""quoted name"|x"#]);
        assert!(pairs("a").is_err() && pairs("a=b c").is_err() && pairs("=b").is_err() && pairs("").is_err());
    }
}
