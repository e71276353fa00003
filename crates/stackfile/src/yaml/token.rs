//! What the scanner makes of a text.

use super::cursor::Mark;
use std::borrow::Cow;

/// A token with its place.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind<'a>,
    pub start: Mark,
    /// The byte after it.
    pub end: usize,
}

/// The kinds of tokens. Starts and ends of blocks come from the indentation.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Kind<'a> {
    StreamEnd,
    Version(u8, u8),
    TagDirective { handle: &'a str, prefix: String },
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'a str),
    Anchor(&'a str),
    Tag { handle: &'a str, suffix: String },
    Scalar { text: Cow<'a, str>, is_plain: bool },
}
