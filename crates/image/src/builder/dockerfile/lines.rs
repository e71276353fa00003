//! A Dockerfile as logical lines: continuations joined, comments gone, here-documents attached.
//!
//! Why not by a library: `docs/decisions/0005-dockerfiles-by-lines.md`.

use super::heredoc::{self, Heredoc};
use super::problem::{Problem, Warning};
use super::words;

/// One instruction with its continuation lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Without the escapes at line ends; blanks at the ends are gone too.
    pub(crate) text: String,
    /// From 1: where the instruction starts.
    pub(crate) number: usize,
    /// Which part of `text` comes from which line of the file.
    pieces: Vec<Piece>,
    pub(crate) heredocs: Vec<Heredoc>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    /// Where it starts in the logical line, in bytes.
    start: usize,
    /// The line of the file, from 1, and how many characters of it come before the piece.
    number: usize,
    indent: usize,
    source: String,
}

impl Line {
    /// A problem with `word` in this line, or with the line's start if it isn't in it.
    pub(crate) fn problem(&self, word: &str, message: impl Into<String>) -> Problem {
        let offset = self.text.find(word).unwrap_or(0);
        let piece = self.pieces.iter().rev().find(|piece| piece.start <= offset).or(self.pieces.first());
        let (number, column, source) = piece.map_or((self.number, 1, String::new()), |piece| {
            let before = self.text.get(piece.start..offset).map_or(0, |text| text.chars().count());
            (piece.number, piece.indent + before + 1, piece.source.clone())
        });
        Problem { line: number, column, source, message: message.into(), help: None }
    }

    /// The instruction inside an ONBUILD: the last `length` bytes of the line.
    pub(super) fn end(&self, length: usize) -> Self {
        let offset = self.text.len() - length;
        let first = self.pieces.iter().rposition(|piece| piece.start <= offset).unwrap_or(0);
        let mut pieces = self.pieces[first..].to_vec();
        for piece in &mut pieces {
            piece.indent += self.text.get(piece.start..offset).map_or(0, |skipped| skipped.chars().count());
            piece.start = piece.start.saturating_sub(offset);
        }
        let text = self.text[offset..].to_owned();
        Self { text, number: self.number, pieces, heredocs: self.heredocs.clone() }
    }

    /// The text of a trigger of an image, whose problems are the place's where it is pulled in.
    pub(crate) fn trigger(text: &str, at: &Self, heredocs: Vec<Heredoc>) -> Self {
        Self { text: text.to_owned(), number: at.number, pieces: at.pieces.clone(), heredocs }
    }
}

/// What the lines of a file say.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) lines: Vec<Line>,
    pub(crate) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

/// Reads physical lines and keeps count.
struct Source<'a> {
    lines: std::str::SplitInclusive<'a, char>,
    number: usize,
}

impl<'a> Source<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let line = self.lines.next()?;
        self.number += 1;
        Some(line)
    }
}

/// All logical lines of a file whose directives are known already.
pub(crate) fn lines(text: &str, escape: char) -> Lines {
    let mut source = Source { lines: text.split_inclusive('\n'), number: 0 };
    let mut found = Lines::default();
    while let Some(first) = source.next() {
        let first = first.trim_end_matches(['\r', '\n']);
        if is_comment(first) || first.trim().is_empty() {
            continue;
        }
        if let Some(mut line) = joined(first, &mut source, escape, &mut found.warnings) {
            if let Err(problem) = attach_heredocs(&mut line, &mut source, escape) {
                found.problems.push(problem);
            }
            found.lines.push(line);
        }
    }
    found
}

/// The line with its continuations; `None` if nothing but escapes was in them.
fn joined(first: &str, source: &mut Source<'_>, escape: char, warnings: &mut Vec<Warning>) -> Option<Line> {
    let number = source.number;
    let start = first.trim_start();
    let mut pieces = vec![piece(0, number, first, start)];
    let (part, mut goes_on) = without_continuation(start, escape);
    let mut text = part.to_owned();
    let mut gap = false;
    while goes_on {
        let Some(next) = source.next() else { break };
        let next = next.trim_end_matches(['\r', '\n']);
        if is_comment(next) {
            continue;
        }
        if next.trim().is_empty() {
            gap = true;
            continue;
        }
        pieces.push(piece(text.len(), source.number, next, next));
        let (part, more) = without_continuation(next, escape);
        text += part;
        goes_on = more;
    }
    if gap {
        let message = "an empty line in the middle of an instruction".to_owned();
        warnings.push(Warning { check: "NoEmptyContinuation", line: number, message });
    }
    let text = text.trim_end().to_owned();
    (!text.is_empty()).then_some(Line { text, number, pieces, heredocs: Vec::new() })
}

fn piece(start: usize, number: usize, whole: &str, part: &str) -> Piece {
    let indent = whole.chars().count() - part.chars().count();
    Piece { start, number, indent, source: whole.to_owned() }
}

/// An escape at the end continues, blanks after it or not, unless it is escaped itself.
fn without_continuation(line: &str, escape: char) -> (&str, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(part) if !part.ends_with(escape) => (part, true),
        _ => (line, false),
    }
}

pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Reads the here-documents that a line announces from the lines after it.
fn attach_heredocs(line: &mut Line, source: &mut Source<'_>, escape: char) -> Result<(), Problem> {
    if !line.text.contains("<<") || !takes_heredocs(&line.text, escape) {
        return Ok(());
    }
    for mut heredoc in heredoc::announced(&line.text) {
        loop {
            let Some(next) = source.next() else {
                let message = format!("the here-document {} never ends", heredoc.name);
                let help = Some(format!("end it with a line that is {} and nothing else", heredoc.name));
                return Err(Problem { help, ..line.problem("<<", message) });
            };
            let end = next.trim_end_matches(['\r', '\n']);
            let end = if heredoc.strip_tabs { end.trim_start_matches('\t') } else { end };
            if end == heredoc.name {
                break;
            }
            heredoc.content += next;
        }
        line.heredocs.push(heredoc);
    }
    Ok(())
}

/// RUN, COPY and ADD, as triggers too, and not in their JSON forms.
fn takes_heredocs(text: &str, escape: char) -> bool {
    let (mut keyword, mut rest) = words::keyword(text);
    if keyword.eq_ignore_ascii_case("onbuild") {
        (keyword, rest) = words::keyword(rest);
    }
    let takes = ["run", "copy", "add"].iter().any(|name| keyword.eq_ignore_ascii_case(name));
    takes && !matches!(words::json(words::flags(rest, escape).1), Ok(Some(_)))
}
