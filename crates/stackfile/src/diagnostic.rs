//! What is wrong with a stack file, said so that one can act on it: the place, both ends of a conflict, help.
//!
//! Owns the type, its text and its JSON form. What is checked, and in which words, belongs to the stages.

use crate::source::{SourceMap, SourceText, Span};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file can't be used.
    Error,
    /// The file can be used, but something in it has no effect or surprises.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A stable name, for instance `unknown-key`; lints are allowed and denied by it.
    pub code: &'static str,
    /// What happened, without the place.
    pub message: String,
    /// The places involved, the most important one first.
    pub labels: Vec<Label>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// A place in a finding.
#[derive(Clone, Debug, Serialize)]
pub struct Label {
    /// The file's name.
    pub file: String,
    /// 1-based line.
    pub line: u32,
    /// 1-based column in characters.
    pub column: u32,
    /// 1-based line of the first character after the place.
    pub end_line: u32,
    /// 1-based column of that character.
    pub end_column: u32,
    /// What this place has to do with it; may be empty.
    pub text: String,
    /// The byte range.
    #[serde(skip)]
    pub span: Span,
    #[serde(skip)]
    source: Option<Arc<SourceText>>,
}

impl Diagnostic {
    /// An error.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity: Severity::Error, code, message, labels: Vec::new(), help: None }
    }

    /// A warning.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds a place. A span that points nowhere adds nothing.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        if span.is_some() {
            let text = text.into();
            self.labels.push(Label {
                file: String::new(),
                line: 0,
                column: 0,
                end_line: 0,
                end_column: 0,
                text,
                span,
                source: None,
            });
        }
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Fills in file, line and column of the labels.
    pub(crate) fn locate(&mut self, sources: &SourceMap) {
        for label in &mut self.labels {
            if let Some(place) = sources.place(label.span) {
                label.file = place.file.to_owned();
                label.line = place.line;
                label.column = place.column;
            }
            if let Some(end) = sources.place(Span { start: label.span.end, ..label.span }) {
                label.end_line = end.line;
                label.end_column = end.column;
            }
            label.source = sources.get(label.span.file).cloned();
        }
    }

    /// The finding with its source lines, coloured for a terminal or plain.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&self.message).id(self.code));
        let mut shown: Vec<&Arc<SourceText>> = Vec::new();
        for source in self.labels.iter().filter_map(|label| label.source.as_ref()) {
            if !shown.iter().any(|seen| Arc::ptr_eq(seen, source)) {
                shown.push(source);
                group = group.element(self.snippet(source));
            }
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    /// The lines from the first place to the last one: a whole file would be read again for each finding.
    fn snippet<'a>(&'a self, source: &'a Arc<SourceText>) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let here = |label: &&Label| label.source.as_ref().is_some_and(|s| Arc::ptr_eq(s, source));
        let window = source.lines(self.labels.iter().filter(here).map(|label| label.span));
        let annotations =
            self.labels.iter().enumerate().filter(|(_, label)| here(label)).map(|(index, label)| {
                let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                let (start, end) = source.boundaries(label.span);
                let text = (!label.text.is_empty()).then_some(label.text.as_str());
                kind.span(start - window.start..end - window.start).label(text)
            });
        let text = Snippet::source(&source.text[window.start..window.end]).line_start(window.line);
        text.path(source.name.as_str()).annotations(annotations)
    }
}

/// `file:line:column: error[code]: message`, one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = self.labels.first() {
            write!(f, "{}:{}:{}: ", label.file, label.line, label.column)?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}]: {}", self.code, self.message)
    }
}

/// Collects findings while the stages run, and holds the texts they point into.
#[derive(Debug, Default)]
pub struct Report {
    /// The texts read so far.
    pub sources: SourceMap,
    findings: Vec<Diagnostic>,
    errors: usize,
    spent: usize,
}

/// What copies and repetitions of one load may add up to, in bytes or their like. Each way of copying (aliases,
/// `extends`, `include`, ranges, variables, files of variables) is cheap to write and dear to follow.
const BUDGET: usize = 512 << 20;
/// What a value costs beside its text.
pub(crate) const NODE_COST: usize = 256;

/// More errors than this help nobody.
const MAX_FINDINGS: usize = 500;

impl Report {
    /// An empty report over texts read before.
    #[must_use]
    pub fn over(sources: SourceMap) -> Self {
        Self { sources, ..Self::default() }
    }

    /// Records a finding.
    pub fn push(&mut self, mut finding: Diagnostic) {
        if finding.severity == Severity::Error {
            self.errors += 1;
        }
        if self.findings.len() < MAX_FINDINGS {
            finding.locate(&self.sources);
            self.findings.push(finding);
        }
    }

    /// Takes from the budget of this load. False, with an error, when it is used up.
    pub fn afford(&mut self, cost: usize, at: Span) -> bool {
        let before = self.spent;
        self.spent = self.spent.saturating_add(cost);
        if self.spent > BUDGET && before <= BUDGET {
            self.error("too-large", at, "copies and repetitions make this stack too large: refused");
        }
        self.spent <= BUDGET
    }

    /// Records an error at one place.
    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::error(code, message).label(span, ""));
    }

    /// Records a warning at one place.
    pub fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::warning(code, message).label(span, ""));
    }

    /// Number of errors so far.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// The findings so far.
    #[must_use]
    pub fn findings(&self) -> &[Diagnostic] {
        &self.findings
    }

    /// All findings, errors first.
    #[must_use]
    pub fn into_findings(self) -> Vec<Diagnostic> {
        let mut findings = self.findings;
        findings.sort_by_key(|finding| finding.severity);
        findings
    }
}
