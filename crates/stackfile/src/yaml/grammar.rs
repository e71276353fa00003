//! Tokens to nodes: which tokens may follow which, by the rules of the reference's YAML library.
//!
//! One function for each form, recursive down to a bounded depth. What a node means (aliases, tags, merges) is the
//! builder's.

use super::MAX_DEPTH;
use super::build::{Builder, Mapping, Properties};
use super::cursor::Mark;
use super::malformed::{Malformed, Result};
use super::scanner::{Scanner, unclosed_quote};
use super::token::Kind;
use crate::node::{Node, Value};
use crate::source::{Span, clamp};

/// Where a node stands: it may be a block, and a list that is indented no deeper than its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NodeContext {
    Flow,
    Block,
    UnderKey,
}

/// Reads documents.
#[derive(Debug)]
pub(super) struct Grammar<'a, 'r> {
    scanner: Scanner<'a>,
    pub(super) builder: Builder<'r>,
    /// The handles that `%TAG` declared.
    handles: Vec<(&'a str, String)>,
}

impl<'a, 'r> Grammar<'a, 'r> {
    pub(super) fn new(text: &'a str, builder: Builder<'r>) -> Self {
        Self { scanner: Scanner::new(text), builder, handles: Vec::new() }
    }

    pub(super) fn documents(&mut self) -> Result<Vec<Node>> {
        let mut documents = Vec::new();
        loop {
            match self.next()? {
                Kind::StreamEnd => return Ok(documents),
                Kind::Version(..) | Kind::TagDirective { .. } | Kind::DocumentStart => {
                    documents.push(self.explicit_document()?);
                }
                _ if documents.is_empty() => documents.push(self.node(NodeContext::Block, 0)?),
                _ => return Err(self.unexpected_document()?),
            }
            while *self.next()? == Kind::DocumentEnd {
                self.scanner.drop_first();
            }
            self.handles.clear();
        }
    }

    fn next(&mut self) -> Result<&Kind<'a>> {
        Ok(&self.scanner.peek()?.kind)
    }

    fn unexpected_document(&mut self) -> Result<Box<Malformed>> {
        let mark = self.scanner.peek()?.start;
        let found = Malformed::here("what is here belongs to nothing above it", mark)
            .help("check its indentation; a second document begins with `---`");
        Ok(self.blame_quote(mark).unwrap_or(found))
    }

    fn explicit_document(&mut self) -> Result<Node> {
        self.directives()?;
        let token = self.scanner.take()?;
        if token.kind != Kind::DocumentStart {
            return Err(Malformed::here("a line `---` must follow the directives", token.start));
        }
        match self.next()? {
            Kind::Version(..)
            | Kind::TagDirective { .. }
            | Kind::DocumentStart
            | Kind::DocumentEnd
            | Kind::StreamEnd => self.empty(),
            _ => self.node(NodeContext::Block, 0),
        }
    }

    fn directives(&mut self) -> Result<()> {
        let mut has_version = false;
        loop {
            let mark = self.scanner.peek()?.start;
            match self.next()?.clone() {
                Kind::Version(1, 1) if !has_version => has_version = true,
                Kind::Version(..) => {
                    return Err(Malformed::here("only YAML 1.1 can be declared, once", mark)
                        .help("remove the line: it isn't needed"));
                }
                Kind::TagDirective { handle, .. }
                    if self.handles.iter().any(|(known, _)| *known == handle) =>
                {
                    return Err(Malformed::here("this tag handle is declared twice", mark));
                }
                Kind::TagDirective { handle, prefix } => self.handles.push((handle, prefix)),
                _ => return Ok(()),
            }
            self.scanner.drop_first();
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.builder.file(), start: clamp(start), end: clamp(end.max(start)) }
    }

    /// Nothing, where the next token is.
    fn empty(&mut self) -> Result<Node> {
        let at = self.scanner.peek()?.start.at;
        self.builder.count(at)?;
        Ok(Node::at(Value::Null, self.span(at, at)))
    }

    fn node(&mut self, place: NodeContext, depth: usize) -> Result<Node> {
        let start = self.scanner.peek()?.start;
        if depth > MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(Malformed::bound("too-deep", message, (start.at, start.at + 1)));
        }
        self.builder.count(start.at)?;
        if let Kind::Alias(name) = *self.next()? {
            let token = self.scanner.take()?;
            let at = self.span(token.start.at, token.end);
            return self.builder.alias(name, at);
        }
        let properties = self.properties()?;
        let open = properties.anchor.map(|name| self.builder.open(name));
        let mut node = self.content(place, depth, start, &properties)?;
        self.builder.close(&mut node, &properties, open);
        Ok(node)
    }

    fn content(
        &mut self,
        place: NodeContext,
        depth: usize,
        start: Mark,
        properties: &Properties<'a>,
    ) -> Result<Node> {
        match self.next()? {
            Kind::Scalar { .. } => self.scalar(start, properties),
            Kind::BlockEntry if place == NodeContext::UnderKey => self.flat_list(start, depth),
            Kind::FlowSequenceStart => self.flow_list(depth),
            Kind::FlowMappingStart => self.flow_mapping(depth),
            Kind::BlockSequenceStart if place != NodeContext::Flow => self.block_list(depth),
            Kind::BlockMappingStart if place != NodeContext::Flow => self.block_mapping(depth),
            _ => match properties.end {
                Some(end) => {
                    let at = self.span(start.at, end);
                    let value = self.builder.scalar("".into(), true, properties.tag.as_deref(), at);
                    Ok(Node::at(value, at))
                }
                None => Err(self.no_value()?),
            },
        }
    }

    fn scalar(&mut self, start: Mark, properties: &Properties<'a>) -> Result<Node> {
        let token = self.scanner.take()?;
        let at = self.span(start.at, token.end);
        let Kind::Scalar { text, is_plain } = token.kind else { return Err(self.no_value()?) };
        Ok(Node::at(self.builder.scalar(text, is_plain, properties.tag.as_deref(), at), at))
    }

    fn no_value(&mut self) -> Result<Box<Malformed>> {
        let mark = self.scanner.peek()?.start;
        let found = Malformed::here("a value was expected here", mark);
        Ok(self.blame_quote(mark).unwrap_or(found))
    }

    /// Text in quotes that ends, after a line break, right before what can't follow it.
    fn blame_quote(&self, mark: Mark) -> Option<Box<Malformed>> {
        let long = self.scanner.long.filter(|long| long.is_quoted && long.end.line == mark.line)?;
        (long.end.at <= mark.at).then(|| unclosed_quote(long.start, mark.at))
    }

    /// An anchor and a tag, in either order.
    fn properties(&mut self) -> Result<Properties<'a>> {
        let mut found = Properties::default();
        loop {
            match self.next()? {
                Kind::Anchor(_) if found.anchor.is_none() => {}
                Kind::Tag { .. } if found.tag.is_none() => {}
                _ => return Ok(found),
            }
            let token = self.scanner.take()?;
            found.end = Some(token.end);
            match token.kind {
                Kind::Anchor(name) => found.anchor = Some(name),
                Kind::Tag { handle, suffix } => {
                    let prefix = self.prefix(handle).ok_or_else(|| {
                        Malformed::new("this tag's handle isn't declared", (token.start.at, token.end))
                            .help("put a value that begins with `!` in quotes")
                    })?;
                    found.tag = Some(prefix + &suffix);
                }
                _ => {}
            }
        }
    }

    /// What a tag's handle stands for.
    fn prefix(&self, handle: &str) -> Option<String> {
        let declared = self.handles.iter().find(|(known, _)| *known == handle);
        match (declared, handle) {
            (_, "") => Some(String::new()),
            (Some((_, prefix)), _) => Some(prefix.clone()),
            (None, "!") => Some("!".to_owned()),
            (None, "!!") => Some("tag:yaml.org,2002:".to_owned()),
            _ => None,
        }
    }

    /// A list of lines that begin with `-`.
    fn block_list(&mut self, depth: usize) -> Result<Node> {
        let open = self.scanner.take()?.start;
        let mut items = Items::new(open.at);
        loop {
            match self.next()? {
                Kind::BlockEntry => {
                    self.scanner.drop_first();
                    let item = match self.next()? {
                        Kind::BlockEntry | Kind::BlockEnd => self.empty()?,
                        _ => self.node(NodeContext::Block, depth + 1)?,
                    };
                    items.push(item);
                }
                Kind::BlockEnd => break,
                _ => return Err(self.misfit("an item of this list, which begins with `-`", open)?),
            }
        }
        self.scanner.drop_first();
        Ok(items.into_node(self.builder.file()))
    }

    /// The same, no deeper than its key.
    fn flat_list(&mut self, start: Mark, depth: usize) -> Result<Node> {
        let mut items = Items::new(start.at);
        while *self.next()? == Kind::BlockEntry {
            self.scanner.drop_first();
            let item = match self.next()? {
                Kind::BlockEntry | Kind::Key | Kind::Value | Kind::BlockEnd => self.empty()?,
                _ => self.node(NodeContext::Block, depth + 1)?,
            };
            items.push(item);
        }
        Ok(items.into_node(self.builder.file()))
    }

    fn block_mapping(&mut self, depth: usize) -> Result<Node> {
        let open = self.scanner.take()?.start;
        let mut mapping = Mapping::new(open.at);
        loop {
            match self.next()? {
                Kind::Key => {
                    self.scanner.drop_first();
                    let key = self.under_key(depth)?;
                    let key = self.builder.key(key);
                    let value = if *self.next()? == Kind::Value {
                        self.scanner.drop_first();
                        self.under_key(depth)?
                    } else {
                        self.empty()?
                    };
                    self.builder.entry(&mut mapping, key, value);
                }
                Kind::BlockEnd => break,
                _ => return Err(self.misfit("a key of this mapping", open)?),
            }
        }
        self.scanner.drop_first();
        Ok(self.builder.mapping(mapping))
    }

    fn under_key(&mut self, depth: usize) -> Result<Node> {
        match self.next()? {
            Kind::Key | Kind::Value | Kind::BlockEnd => self.empty(),
            _ => self.node(NodeContext::UnderKey, depth + 1),
        }
    }

    /// What stands where only the next part of a block can, or its end.
    fn misfit(&mut self, expected: &str, open: Mark) -> Result<Box<Malformed>> {
        let mark = self.scanner.peek()?.start;
        if let Some(found) = self.blame_quote(mark) {
            return Ok(found);
        }
        if !self.scanner.begins_line(mark) {
            let found = Malformed::here("text follows a value that is over", mark);
            return Ok(found.help("put the whole value in quotes"));
        }
        let message = format!("the indentation of this line fits nothing above it: expected {expected}");
        Ok(Malformed::here(message, mark)
            .also((open.at, open.at + 1), "which begins here")
            .help("indent it like the lines that it belongs to"))
    }

    fn flow_list(&mut self, depth: usize) -> Result<Node> {
        let open = self.scanner.take()?.start;
        let mut items = Items::new(open.at);
        let mut is_first = true;
        while *self.next()? != Kind::FlowSequenceEnd {
            if !is_first {
                self.flow_entry(open, ']')?;
            }
            is_first = false;
            match self.next()? {
                Kind::Key => items.push(self.pair(depth + 1)?),
                Kind::FlowSequenceEnd => break,
                Kind::StreamEnd => return Err(self.unclosed(open, ']')?),
                _ => items.push(self.node(NodeContext::Flow, depth + 1)?),
            }
        }
        let mut node = items.into_node(self.builder.file());
        node.span.end = node.span.end.max(clamp(self.scanner.take()?.end));
        Ok(node)
    }

    /// The `,` before a further part, or the end of a list or mapping in brackets.
    fn flow_entry(&mut self, open: Mark, close: char) -> Result<()> {
        if *self.next()? == Kind::FlowEntry {
            self.scanner.drop_first();
            return Ok(());
        }
        Err(self.unclosed(open, close)?)
    }

    fn unclosed(&mut self, open: Mark, close: char) -> Result<Box<Malformed>> {
        let token = self.scanner.peek()?;
        let (mark, at_end) = (token.start, token.kind == Kind::StreamEnd);
        if let Some(found) = self.blame_quote(mark) {
            return Ok(found);
        }
        let opened = (open.at, open.at + 1);
        Ok(if at_end {
            Malformed::new(format!("this bracket is never closed: `{close}` is missing"), opened)
                .label("opened here")
        } else if mark.line > open.line {
            let message = format!("in this bracket a `,` or its end, `{close}`, is missing");
            Malformed::new(message, opened).label("opened here").also((mark.at, mark.at + 1), "noticed here")
        } else {
            let message = format!("expected `,` or `{close}`");
            Malformed::here(message, mark).also(opened, "opened here")
        })
    }

    /// `key: value` as an item of a list in brackets.
    fn pair(&mut self, depth: usize) -> Result<Node> {
        let start = self.scanner.take()?.start;
        self.builder.count(start.at)?;
        let mut mapping = Mapping::new(start.at);
        let key = match self.next()? {
            Kind::Value | Kind::FlowEntry | Kind::FlowSequenceEnd => {
                // The reference drops the token that it found instead of a key.
                let empty = self.empty()?;
                self.scanner.drop_first();
                empty
            }
            _ => self.node(NodeContext::Flow, depth + 1)?,
        };
        let key = self.builder.key(key);
        let value = self.flow_value(depth, &Kind::FlowSequenceEnd)?;
        self.builder.entry(&mut mapping, key, value);
        Ok(self.builder.mapping(mapping))
    }

    /// What follows a `:` in brackets; nothing where there is none.
    fn flow_value(&mut self, depth: usize, close: &Kind<'a>) -> Result<Node> {
        if *self.next()? != Kind::Value {
            return self.empty();
        }
        self.scanner.drop_first();
        let next = self.next()?;
        if *next == Kind::FlowEntry || next == close {
            self.empty()
        } else {
            self.node(NodeContext::Flow, depth + 1)
        }
    }

    fn flow_mapping(&mut self, depth: usize) -> Result<Node> {
        let open = self.scanner.take()?.start;
        let mut mapping = Mapping::new(open.at);
        let mut is_first = true;
        while *self.next()? != Kind::FlowMappingEnd {
            if !is_first {
                self.flow_entry(open, '}')?;
            }
            is_first = false;
            let (key, value) = match self.next()? {
                Kind::Key => {
                    self.scanner.drop_first();
                    let key = match self.next()? {
                        Kind::Value | Kind::FlowEntry | Kind::FlowMappingEnd => self.empty()?,
                        _ => self.node(NodeContext::Flow, depth + 1)?,
                    };
                    (self.builder.key(key), self.flow_value(depth, &Kind::FlowMappingEnd)?)
                }
                Kind::FlowMappingEnd => break,
                Kind::StreamEnd => return Err(self.unclosed(open, '}')?),
                _ => {
                    let key = self.node(NodeContext::Flow, depth + 1)?;
                    (self.builder.key(key), self.empty()?)
                }
            };
            self.builder.entry(&mut mapping, key, value);
        }
        let end = self.scanner.take()?.end;
        let mut node = self.builder.mapping(mapping);
        node.span.end = node.span.end.max(clamp(end));
        Ok(node)
    }
}

/// The items of a list, and where they are.
#[derive(Debug)]
struct Items {
    items: Vec<Node>,
    start: u32,
    end: u32,
}

impl Items {
    fn new(start: usize) -> Self {
        Self { items: Vec::new(), start: clamp(start), end: clamp(start + 1) }
    }

    fn push(&mut self, item: Node) {
        self.end = self.end.max(item.span.end);
        self.items.push(item);
    }

    fn into_node(self, file: crate::source::FileId) -> Node {
        Node::at(Value::List(self.items), Span { file, start: self.start, end: self.end })
    }
}
