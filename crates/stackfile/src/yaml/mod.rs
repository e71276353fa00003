//! YAML text to a tree, as the reference's YAML library reads it: nodes with spans, aliases expanded within a budget,
//! merge keys applied, duplicate keys refused with both places.
//!
//! Bounded on hostile input: text size, nesting, nodes, and the share that comes from aliases. Tokens, then grammar,
//! then nodes; why this is our own code is in decision 0010.

mod build;
mod cursor;
mod encoding;
mod grammar;
mod malformed;
mod names;
mod scalars;
mod scanner;
mod token;

pub(crate) use encoding::decode_utf8;
pub use encoding::{decode, to_text};

use crate::diagnostic::{NODE_COST, Report};
use crate::node::Node;
use crate::source::{FileId, Span};
use build::Builder;
use grammar::Grammar;

/// Texts above this many bytes are refused.
pub const MAX_TEXT: usize = 16 << 20;
/// Deeper nesting is refused: stages recurse.
pub const MAX_DEPTH: usize = 300;
/// Nodes of one text, aliases expanded.
pub const MAX_NODES: usize = 2_000_000;

/// Parses all documents of a text. `None` when an error was reported.
pub fn parse(file: FileId, text: &str, report: &mut Report) -> Option<Vec<Node>> {
    let errors = report.errors();
    if let Err(malformed) = encoding::check_characters(text) {
        report.push(malformed.diagnostic(file));
        return None;
    }
    let mut grammar = Grammar::new(text, Builder::new(file, report));
    let documents = grammar.documents();
    let copied = grammar.builder.copied();
    let report = grammar.builder.into_report();
    if !report.afford(copied * NODE_COST + text.len(), Span { file, start: 0, end: 0 }) {
        return None;
    }
    match documents {
        Ok(documents) if report.errors() == errors => Some(documents),
        Ok(_) => None,
        Err(malformed) => {
            report.push(malformed.diagnostic(file));
            None
        }
    }
}
