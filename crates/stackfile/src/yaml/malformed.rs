//! What is wrong with a text as YAML, in words that help, at the place where the mistake was made.

use super::cursor::Mark;
use crate::diagnostic::Diagnostic;
use crate::source::{FileId, Span, clamp};

/// A mistake that ends the reading.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Malformed {
    pub code: &'static str,
    pub message: String,
    /// The bytes it is about.
    pub at: (usize, usize),
    label: &'static str,
    /// Another place that has to do with it.
    also: Option<((usize, usize), &'static str)>,
    help: Option<&'static str>,
}

/// What may be malformed. The error is rare and large.
pub(super) type Result<T> = std::result::Result<T, Box<Malformed>>;

impl Malformed {
    pub(super) fn new(message: impl Into<String>, at: (usize, usize)) -> Box<Self> {
        let message = format!("invalid YAML: {}", message.into());
        Box::new(Self { code: "yaml-syntax", message, at, label: "", also: None, help: None })
    }

    /// A mistake at one character.
    pub(super) fn here(message: impl Into<String>, mark: Mark) -> Box<Self> {
        Self::new(message, (mark.at, mark.at + 1))
    }

    /// A bound that was met.
    pub(super) fn bound(code: &'static str, message: String, at: (usize, usize)) -> Box<Self> {
        Box::new(Self { code, message, at, label: "", also: None, help: None })
    }

    pub(super) fn label(mut self: Box<Self>, label: &'static str) -> Box<Self> {
        self.label = label;
        self
    }

    pub(super) fn also(mut self: Box<Self>, at: (usize, usize), label: &'static str) -> Box<Self> {
        self.also = Some((at, label));
        self
    }

    pub(super) fn help(mut self: Box<Self>, help: &'static str) -> Box<Self> {
        self.help = Some(help);
        self
    }

    pub(super) fn diagnostic(self, file: FileId) -> Diagnostic {
        let span = |(start, end): (usize, usize)| Span { file, start: clamp(start), end: clamp(end) };
        let mut finding = Diagnostic::error(self.code, self.message).label(span(self.at), self.label);
        if let Some((at, label)) = self.also {
            finding = finding.label(span(at), label);
        }
        match self.help {
            Some(help) => finding.help(help),
            None => finding,
        }
    }
}

/// The help where a line is the key of nothing.
pub(super) const KEY_HELP: &str =
    "a mapping's lines are `key: value`; what goes on over several lines is indented deeper than its key";
/// The help where a tab stands for indentation.
pub(super) const TAB_HELP: &str = "indent with spaces";

pub(super) fn tab(mark: Mark) -> Box<Malformed> {
    Malformed::here("a tab can't indent", mark).help(TAB_HELP)
}
