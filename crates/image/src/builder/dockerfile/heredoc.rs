//! Here-documents: `<<NAME`, `<<-NAME`, `<<"NAME"`.

use super::expand::{Expander, Quotes};

/// A here-document of a RUN, COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heredoc {
    /// What ends it; the file's name where COPY makes one.
    pub(crate) name: String,
    /// No part of the name was quoted, so that variables count in it.
    pub(crate) expands: bool,
    /// `<<-`: tabs at the start of its lines don't count.
    pub(crate) strip_tabs: bool,
    /// As written, tabs included, with the line ends.
    pub(crate) content: String,
}

impl Heredoc {
    /// The content as it is meant: without the leading tabs if so announced.
    pub(crate) fn text(&self) -> String {
        if !self.strip_tabs {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// The here-documents that a logical line announces, in order.
pub(super) fn announced(line: &str) -> Vec<Heredoc> {
    let nothing = |_: &str| None;
    let words = Expander {
        quotes: Quotes::Keep,
        keep_escapes: true,
        keep_unset: true,
        ..Expander::new('\\', &nothing)
    };
    // A line that can't be split announces none: what looks odd here may be fine for the shell.
    words.words(line).unwrap_or_default().iter().filter_map(|word| parse(word)).collect()
}

/// Words of a COPY or ADD, with those made one that announce one document: `<< EOF` has a blank before the name, and
/// `<<"A B"` one in it.
pub(super) fn joined(words: Vec<String>) -> Vec<String> {
    let mut joined = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let whole =
            Some(&word).filter(|word| word.contains("<<") && parse(word).is_none()).and_then(|word| {
                let mut rest = words.clone();
                let mut whole = word.clone();
                while parse(&whole).is_none() {
                    whole = format!("{whole} {}", rest.next()?);
                }
                words = rest;
                Some(whole)
            });
        joined.push(whole.unwrap_or(word));
    }
    joined
}

/// One word, if it announces a here-document.
pub(crate) fn parse(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (strip_tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let nothing = |_: &str| None;
    let plain = Expander { keep_unset: true, ..Expander::new('\\', &nothing) };
    let [name] = &plain.words(rest).ok()?[..] else { return None };
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let expands = quotes(rest) == quotes(name);
    Some(Heredoc { name: name.clone(), expands, strip_tabs, content: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Vec<(String, bool, bool)> {
        announced(line).into_iter().map(|doc| (doc.name, doc.expands, doc.strip_tabs)).collect()
    }

    #[test]
    fn documents_are_announced_anywhere_in_a_line() {
        let doc = |name: &str, expands, tabs| (name.to_owned(), expands, tabs);
        assert_eq!(names("RUN <<EOF"), [doc("EOF", true, false)]);
        assert_eq!(names("RUN cat <<-'A B' > x"), [doc("A B", false, true)]);
        assert_eq!(names("COPY <<a <<\"b\" /d/"), [doc("a", true, false), doc("b", false, false)]);
        assert_eq!(names("RUN cat 3<< EOF"), [doc("EOF", true, false)]);
        assert_eq!(names("COPY <<- EOF /a"), [doc("EOF", true, true)]);
        assert_eq!(names("ADD <<-  \"E F\" << G /a"), [doc("E F", false, true), doc("G", true, false)]);
    }

    #[test]
    fn words_of_one_announcement_are_joined() {
        let joined = |line: &str| joined(line.split(' ').map(str::to_owned).collect()).join("|");
        assert_eq!(joined("<< EOF /a"), "<< EOF|/a");
        assert_eq!(joined("<<- EOF <<b /a"), "<<- EOF|<<b|/a");
        assert_eq!(joined("x << \"A B\" /a"), "x|<< \"A B\"|/a");
        assert_eq!(joined("<<'A B' /a"), "<<'A B'|/a");
        assert_eq!(joined("a<<b <<"), "a<<b|<<");
        assert_eq!(joined("<<< a b"), "<<<|a|b");
    }

    #[test]
    fn what_only_looks_like_one() {
        for line in
            ["RUN cat <<<EOF", "RUN echo \"<<EOF\"", "RUN echo $((1<<2", "RUN it's <<EOF", "RUN a<<EOF"]
        {
            assert_eq!(names(line), [], "{line}");
        }
    }
}
