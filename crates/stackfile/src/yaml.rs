//! YAML text to a tree: events of the parser to nodes with spans, aliases expanded within a budget, merge
//! keys applied, duplicate keys refused with both places.
//!
//! Bounded on hostile input: text size, nesting, nodes, and the share that comes from aliases.

use crate::diagnostic::{Diagnostic, NODE_COST, Report};
use crate::node::{Map, Node, Tag, Value};
use crate::scalar::{resolve_plain, spell};
use crate::source::{FileId, Span, clamp};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput};
use std::collections::HashMap;

/// Texts above this many bytes are refused.
pub const MAX_TEXT: usize = 16 << 20;
/// Deeper nesting is refused: stages recurse.
pub const MAX_DEPTH: usize = 100;
/// Nodes of one text, aliases expanded.
pub const MAX_NODES: usize = 2_000_000;
/// Below this many nodes copied from aliases nobody counts; above, they must be less than 99 % of all.
const FREE_ALIAS_NODES: usize = 1_000;

/// Decodes a file's bytes, refusing what is no UTF-8 or too large. A byte-order mark is dropped.
pub fn decode(name: &str, bytes: Vec<u8>, report: &mut Report) -> Option<String> {
    if bytes.len() > MAX_TEXT {
        let message = format!("{name} is larger than {} MiB", MAX_TEXT >> 20);
        report.push(Diagnostic::error("file-too-large", message));
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let at = clamp(error.utf8_error().valid_up_to());
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let file = report.sources.add(name, text);
            let message = format!("{name} is not UTF-8: invalid byte at offset {at}");
            report.error("invalid-utf8", Span { file, start: at, end: at + 1 }, message);
            None
        }
    }
}

/// Parses all documents of a text. `None` when an error was reported.
pub fn parse(file: FileId, text: &str, report: &mut Report) -> Option<Vec<Node>> {
    let errors = report.errors();
    let mut builder = Builder {
        events: Parser::new_from_str(text),
        offsets: Offsets::new(text),
        file,
        report,
        anchors: HashMap::new(),
        open: Vec::new(),
        made: 0,
        copied: 0,
    };
    let documents = builder.documents();
    let copied = builder.copied;
    if !report.afford(copied * NODE_COST + text.len(), Span { file, start: 0, end: 0 }) {
        return None;
    }
    match documents {
        Ok(documents) if report.errors() == errors => Some(documents),
        Ok(_) => None,
        Err(Stop::Reported) => None,
        Err(Stop::Syntax(at, info)) => {
            report.error("yaml-syntax", at, format!("invalid YAML: {info}"));
            None
        }
    }
}

/// Character offsets of the parser to byte offsets of the text.
struct Offsets {
    table: Option<Vec<u32>>,
    length: u32,
}

impl Offsets {
    fn new(text: &str) -> Self {
        let table = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| clamp(at)).collect());
        Self { table, length: clamp(text.len()) }
    }

    fn byte(&self, chars: usize) -> u32 {
        match &self.table {
            Some(table) => table.get(chars).copied().unwrap_or(self.length),
            None => clamp(chars).min(self.length),
        }
    }
}

enum Stop {
    Reported,
    Syntax(Span, String),
}

struct Builder<'a, 'r> {
    events: Parser<'a, StrInput<'a>>,
    offsets: Offsets,
    file: FileId,
    report: &'r mut Report,
    anchors: HashMap<usize, Node>,
    /// Anchors whose node is still being read: an alias to one of them is a cycle.
    open: Vec<usize>,
    made: usize,
    copied: usize,
}

impl<'a> Builder<'a, '_> {
    fn documents(&mut self) -> Result<Vec<Node>, Stop> {
        let mut documents = Vec::new();
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(documents),
                (Event::DocumentStart(_), _) => {
                    self.anchors.clear();
                    let (event, span) = self.next()?;
                    documents.push(self.node(event, span, 0)?);
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, saphyr_parser::Span), Stop> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = self.point(*error.marker());
                Err(Stop::Syntax(at, error.info().to_owned()))
            }
            None => Ok((Event::StreamEnd, saphyr_parser::Span::default())),
        }
    }

    fn point(&self, marker: Marker) -> Span {
        let start = self.offsets.byte(marker.index());
        Span { file: self.file, start, end: start.saturating_add(1) }
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        let (start, end) = (self.offsets.byte(span.start.index()), self.offsets.byte(span.end.index()));
        Span { file: self.file, start, end }
    }

    fn node(&mut self, event: Event<'a>, span: saphyr_parser::Span, depth: usize) -> Result<Node, Stop> {
        let at = self.span(span);
        self.made += 1;
        if depth > MAX_DEPTH {
            return Err(self.refuse("too-deep", at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        if self.made > MAX_NODES {
            return Err(self.refuse("too-many-nodes", at, format!("more than {MAX_NODES} values")));
        }
        match event {
            Event::Alias(id) => self.alias(id, at),
            Event::Scalar(text, style, id, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), at);
                let node = Node { tag: compose_tag(tag.as_deref()), ..Node::at(value, at) };
                Ok(self.anchor(id, node))
            }
            Event::SequenceStart(id, tag) => {
                self.open.push(id);
                let mut node = self.sequence(at, depth)?;
                self.open.pop();
                node.tag = compose_tag(tag.as_deref());
                Ok(self.anchor(id, node))
            }
            Event::MappingStart(id, tag) => {
                self.open.push(id);
                let mut node = self.mapping(at, depth)?;
                self.open.pop();
                node.tag = compose_tag(tag.as_deref());
                Ok(self.anchor(id, node))
            }
            _ => Err(Stop::Syntax(at, "a value was expected here".to_owned())),
        }
    }

    fn refuse(&mut self, code: &'static str, at: Span, message: String) -> Stop {
        self.report.error(code, at, message);
        Stop::Reported
    }

    fn anchor(&mut self, id: usize, node: Node) -> Node {
        if id != 0 {
            self.anchors.insert(id, node.clone());
        }
        node
    }

    fn alias(&mut self, id: usize, at: Span) -> Result<Node, Stop> {
        if self.open.contains(&id) {
            return Err(self.refuse(
                "alias-cycle",
                at,
                "this alias is inside the value it stands for".into(),
            ));
        }
        let Some(target) = self.anchors.get(&id) else {
            return Err(self.refuse("unknown-anchor", at, "no anchor of this name comes before".into()));
        };
        let size = target.count();
        self.copied += size;
        self.made += size;
        let excessive = self.copied > FREE_ALIAS_NODES && self.copied * 100 > self.made * 99;
        if excessive || self.made > MAX_NODES {
            let message = "aliases make up nearly all of this document: refused, as it may be an alias bomb";
            return Err(self.refuse("excessive-aliasing", at, message.into()));
        }
        Ok(target.clone())
    }

    fn sequence(&mut self, start: Span, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        let mut end = start.end;
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => break,
                (event, span) => {
                    let item = self.node(event, span, depth + 1)?;
                    end = end.max(self.span(span).end);
                    items.push(item);
                }
            }
        }
        Ok(Node::at(Value::List(items), Span { end, ..start }))
    }

    fn mapping(&mut self, start: Span, depth: usize) -> Result<Node, Stop> {
        let mut map = Map::new();
        let mut merges: Option<Node> = None;
        let mut end = start.end;
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key_at = self.span(span);
            let key = self.key(event, span, depth)?;
            let (event, value_span) = self.next()?;
            let mut value = self.node(event, value_span, depth + 1)?;
            end = end.max(self.span(value_span).end);
            match key {
                Some(Key::Merge) => {
                    value.key = key_at;
                    if let Some(first) = merges.replace(value) {
                        self.duplicate("<<", first.key, key_at);
                    }
                }
                Some(Key::Text(key)) => {
                    value.key = key_at;
                    if let Some(first) = map.get(&key) {
                        let first: Span = first.key;
                        self.duplicate(&key, first, key_at);
                    }
                    map.insert(key, value);
                }
                None => {}
            }
        }
        if let Some(merges) = merges {
            self.merge(&mut map, merges);
        }
        Ok(Node::at(Value::Map(map), Span { end, ..start }))
    }

    /// A key as text; other kinds of keys are reported.
    fn key(
        &mut self,
        event: Event<'a>,
        span: saphyr_parser::Span,
        depth: usize,
    ) -> Result<Option<Key>, Stop> {
        if let Event::Scalar(text, style, _, tag) = &event
            && match tag {
                Some(tag) => tag.is_yaml_core_schema() && tag.suffix == "merge",
                None => text == "<<" && *style == ScalarStyle::Plain,
            }
        {
            return Ok(Some(Key::Merge));
        }
        let key = self.node(event, span, depth + 1)?;
        match key.value {
            Value::Text(text) => Ok(Some(Key::Text(text))),
            Value::List(_) | Value::Map(_) => {
                let message = format!("a key must be a string, this one is {}", key.value.kind());
                let finding = Diagnostic::error("invalid-key", message).label(self.span(span), "");
                self.report.push(finding.help("a value that starts with `{` or `[` must be quoted"));
                Ok(None)
            }
            other => {
                let message = format!("a key must be a string, `{}` is {}", spell(&other), other.kind());
                let finding = Diagnostic::error("invalid-key", message).label(self.span(span), "");
                self.report.push(finding.help("put the key in quotes"));
                Ok(None)
            }
        }
    }

    fn duplicate(&mut self, key: &str, first: Span, second: Span) {
        let finding = Diagnostic::error("duplicate-key", format!("the key `{key}` is given twice"))
            .label(second, "here again")
            .label(first, "first given here");
        self.report.push(finding);
    }

    /// Applies `<<`: explicit keys win, then earlier mappings.
    fn merge(&mut self, map: &mut Map, merges: Node) {
        let at = merges.key;
        let sources = match merges.value {
            Value::Map(source) => vec![Value::Map(source)],
            Value::List(list) => list.into_iter().map(|node| node.value).collect(),
            other => vec![other],
        };
        for source in sources {
            let Value::Map(source) = source else {
                self.report.error("invalid-merge", at, "`<<` takes a mapping or a list of mappings");
                return;
            };
            for (key, node) in source {
                match map.get_mut(&key) {
                    None => drop(map.insert(key, node)),
                    // A reset is gone before the merge and clears what earlier files said: so does an override.
                    Some(own) if own.tag == Tag::Reset && node.tag != Tag::Reset => {
                        *own = Node { tag: Tag::Override, ..node };
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&saphyr_parser::Tag>,
        at: Span,
    ) -> Value {
        let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
        match (core, style) {
            (Some("str" | "binary"), _) => Value::Text(text.to_owned()),
            (Some(wanted @ ("int" | "float" | "bool" | "null")), _) => self.tagged(wanted, text, at),
            _ if tag.is_some() && core.is_none() && compose_tag(tag) == Tag::None => {
                Value::Text(text.to_owned())
            }
            (_, ScalarStyle::Plain) => resolve_plain(text),
            _ => Value::Text(text.to_owned()),
        }
    }

    fn tagged(&mut self, wanted: &str, text: &str, at: Span) -> Value {
        match (wanted, resolve_plain(text)) {
            ("int", value @ (Value::Int(_) | Value::Big(_)))
            | ("float", value @ Value::Float(_))
            | ("bool", value @ Value::Bool(_))
            | ("null", value @ Value::Null) => value,
            #[expect(clippy::cast_precision_loss, reason = "`!!float` asks for it")]
            ("float", Value::Int(int)) => Value::Float(int as f64),
            _ => {
                self.report.error("invalid-tag", at, format!("`{text}` is no `!!{wanted}`"));
                Value::Broken
            }
        }
    }
}

enum Key {
    Merge,
    Text(String),
}

fn compose_tag(tag: Option<&saphyr_parser::Tag>) -> Tag {
    match tag {
        Some(tag) if tag.handle == "!" && tag.suffix == "reset" => Tag::Reset,
        Some(tag) if tag.handle == "!" && tag.suffix == "override" => Tag::Override,
        _ => Tag::None,
    }
}
