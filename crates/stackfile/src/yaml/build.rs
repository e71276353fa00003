//! What nodes mean: anchors and aliases, tags, keys and merges.
//!
//! Counts what is made, so that a small text can't become a large tree.

use super::MAX_NODES;
use super::malformed::{Malformed, Result};
use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Map, Node, Tag, Value};
use crate::scalar::{resolve_plain, spell};
use crate::source::{FileId, Span, clamp};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use std::borrow::Cow;
use std::collections::HashMap;

/// Below this many nodes copied from aliases nobody counts; above, they must be less than 99 % of all.
const FREE_ALIAS_NODES: usize = 1_000;
/// The tags of YAML itself begin so.
const CORE: &str = "tag:yaml.org,2002:";

/// An anchor and a tag before a value.
#[derive(Debug, Default)]
pub(super) struct Properties<'a> {
    pub anchor: Option<&'a str>,
    /// In full, its handle replaced.
    pub tag: Option<String>,
    /// The byte after them; none when there are none.
    pub end: Option<usize>,
}

/// What a name stands for.
#[derive(Debug)]
enum Anchor {
    /// A node that is still being read, by its number: an alias to it is a cycle.
    Open(usize),
    Done(Node),
}

/// What the last node was, as far as keys care.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Origin {
    Other,
    Merge,
    Alias(String),
}

/// A mapping that is being read.
#[derive(Debug)]
pub(super) struct Mapping {
    map: Map,
    merges: Option<Node>,
    /// The keys that were aliases, with the aliases' names.
    aliases: Vec<(String, String)>,
    start: u32,
    end: u32,
}

impl Mapping {
    pub(super) fn new(start: usize) -> Self {
        Self {
            map: Map::new(),
            merges: None,
            aliases: Vec::new(),
            start: clamp(start),
            end: clamp(start + 1),
        }
    }
}

/// A key that was read; none of its text where it is no text, which has been reported.
#[derive(Debug)]
pub(super) struct Key {
    text: Option<String>,
    origin: Origin,
    at: Span,
}

/// Makes nodes of what the grammar finds.
#[derive(Debug)]
pub(super) struct Builder<'r> {
    file: FileId,
    report: &'r mut Report,
    /// Over all documents of the text.
    anchors: HashMap<String, Anchor>,
    opened: usize,
    origin: Origin,
    made: usize,
    copied: usize,
}

impl<'r> Builder<'r> {
    pub(super) fn new(file: FileId, report: &'r mut Report) -> Self {
        Self { file, report, anchors: HashMap::new(), opened: 0, origin: Origin::Other, made: 0, copied: 0 }
    }

    pub(super) fn file(&self) -> FileId {
        self.file
    }

    /// The nodes that came from aliases.
    pub(super) fn copied(&self) -> usize {
        self.copied
    }

    /// The report, once everything is built.
    pub(super) fn into_report(self) -> &'r mut Report {
        self.report
    }

    /// Counts a node.
    pub(super) fn count(&mut self, at: usize) -> Result<()> {
        self.made += 1;
        self.origin = Origin::Other;
        if self.made > MAX_NODES {
            let message = format!("more than {MAX_NODES} values");
            return Err(Malformed::bound("too-many-nodes", message, (at, at + 1)));
        }
        Ok(())
    }

    /// Begins a node with an anchor. From here on the name means this node.
    pub(super) fn open(&mut self, name: &str) -> usize {
        self.opened += 1;
        self.anchors.insert(name.to_owned(), Anchor::Open(self.opened));
        self.opened
    }

    /// Ends a node: its tag, and its anchor unless a node inside took the name.
    pub(super) fn close(&mut self, node: &mut Node, properties: &Properties<'_>, open: Option<usize>) {
        node.tag = compose_tag(properties.tag.as_deref());
        if let (Some(name), Some(open)) = (properties.anchor, open)
            && let Some(anchor @ Anchor::Open(_)) = self.anchors.get_mut(name)
            && matches!(anchor, Anchor::Open(other) if *other == open)
        {
            *anchor = Anchor::Done(node.clone());
        }
    }

    pub(super) fn alias(&mut self, name: &str, at: Span) -> Result<Node> {
        let bytes = (at.start as usize, at.end as usize);
        let target = match self.anchors.get(name) {
            Some(Anchor::Done(target)) => target,
            Some(Anchor::Open(_)) => {
                let message = "this alias is inside the value it stands for".to_owned();
                return Err(Malformed::bound("alias-cycle", message, bytes));
            }
            None => {
                let message = format!("unknown anchor: no `&{name}` comes before this alias");
                return Err(Malformed::bound("unknown-anchor", message, bytes)
                    .help("put a value that begins with `*` in quotes"));
            }
        };
        let size = target.count();
        self.copied += size;
        self.made += size;
        let excessive = self.copied > FREE_ALIAS_NODES && self.copied * 100 > self.made * 99;
        if excessive || self.made > MAX_NODES {
            let message = "aliases make up nearly all of this document: refused, as it may be an alias bomb";
            return Err(Malformed::bound("excessive-aliasing", message.to_owned(), bytes));
        }
        let target = target.clone();
        self.origin = Origin::Alias(name.to_owned());
        Ok(target)
    }

    /// A node as a key; what is no text is reported.
    pub(super) fn key(&mut self, node: Node) -> Key {
        let origin = std::mem::replace(&mut self.origin, Origin::Other);
        let at = node.span;
        let (message, help) = match node.value {
            Value::Text(text) => return Key { text: Some(text), origin, at },
            Value::Broken => return Key { text: None, origin, at },
            Value::List(_) | Value::Map(_) => (
                format!("a key must be a string, this one is {}", node.value.kind()),
                "a value that starts with `{` or `[` must be quoted",
            ),
            other => (
                format!("a key must be a string, `{}` is {}", spell(&other), other.kind()),
                "put the key in quotes",
            ),
        };
        self.report.push(Diagnostic::error("invalid-key", message).label(at, "").help(help));
        Key { text: None, origin, at }
    }

    /// Adds an entry to a mapping.
    pub(super) fn entry(&mut self, mapping: &mut Mapping, key: Key, mut value: Node) {
        mapping.end = mapping.end.max(value.span.end).max(key.at.end);
        value.key = key.at;
        let Some(text) = key.text else { return };
        if key.origin == Origin::Merge {
            if let Some(first) = mapping.merges.replace(value) {
                self.duplicate("<<", first.key, key.at);
            }
            return;
        }
        if let Some(first) = mapping.map.get(&text) {
            // The reference compares keys as they are written, an alias by its name: then the last one counts.
            let alias = mapping.aliases.iter().rfind(|(known, _)| *known == text).map(|(_, alias)| alias);
            let is_same = match &key.origin {
                Origin::Alias(name) => alias == Some(name),
                _ => alias.is_none(),
            };
            if is_same {
                let first = first.key;
                self.duplicate(&text, first, key.at);
            }
        }
        if let Origin::Alias(name) = key.origin {
            mapping.aliases.push((text.clone(), name));
        }
        mapping.map.insert(text, value);
    }

    /// Ends a mapping.
    pub(super) fn mapping(&mut self, mapping: Mapping) -> Node {
        let Mapping { mut map, merges, start, end, .. } = mapping;
        if let Some(merges) = merges {
            self.merge(&mut map, merges);
        }
        Node::at(Value::Map(map), Span { file: self.file, start, end })
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

    /// A scalar by its tag, or by how it looks where it has none.
    pub(super) fn scalar(
        &mut self,
        text: Cow<'_, str>,
        is_plain: bool,
        tag: Option<&str>,
        at: Span,
    ) -> Value {
        let tag = tag.filter(|tag| *tag != "!" && compose_tag(Some(tag)) == Tag::None);
        let core = tag.and_then(|tag| tag.strip_prefix(CORE));
        if text == "<<" && (core == Some("merge") || (is_plain && tag.is_none())) {
            self.origin = Origin::Merge;
        }
        match (tag, core) {
            (None, _) if is_plain => resolve_plain(&text),
            (_, Some("binary")) => self.binary(&text, at),
            (_, Some(wanted @ ("int" | "float" | "bool" | "null" | "timestamp"))) => {
                self.tagged(wanted, &text, at)
            }
            _ => Value::Text(text.into_owned()),
        }
    }

    fn tagged(&mut self, wanted: &str, text: &str, at: Span) -> Value {
        match (wanted, resolve_plain(text)) {
            ("int", value @ (Value::Int(_) | Value::Big(_)))
            | ("float", value @ Value::Float(_))
            | ("bool", value @ Value::Bool(_))
            | ("timestamp", value @ Value::Time(_))
            | ("null", value @ Value::Null) => value,
            #[expect(clippy::cast_precision_loss, reason = "`!!float` asks for it")]
            ("float", Value::Int(int)) => Value::Float(int as f64),
            _ => {
                self.report.error("invalid-tag", at, format!("`{text}` is not `!!{wanted}`"));
                Value::Broken
            }
        }
    }

    /// Base64, line breaks inside allowed.
    fn binary(&mut self, text: &str, at: Span) -> Value {
        let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
        let text = text.replace(['\r', '\n'], "");
        match GeneralPurpose::new(&STANDARD, config).decode(text) {
            Ok(bytes) => Value::Text(String::from_utf8_lossy(&bytes).into_owned()),
            Err(_) => {
                self.report.error("invalid-tag", at, "this `!!binary` is not base64");
                Value::Broken
            }
        }
    }
}

/// The two tags that Compose knows.
fn compose_tag(tag: Option<&str>) -> Tag {
    match tag {
        Some("!reset") => Tag::Reset,
        Some("!override") => Tag::Override,
        _ => Tag::None,
    }
}
