//! The tree that a stack file is read into: values with the place they come from and what happened to them.
//!
//! Every stage of the loader works on this tree, so that an error found late can still show the line. It
//! knows nothing of Compose.

use crate::source::Span;
use crate::trail::Trail;
use indexmap::IndexMap;

type Entries = IndexMap<String, Node, foldhash::fast::RandomState>;

/// A mapping in the order of the file. Boxed, as most nodes are scalars and a tree has many of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map(Box<Entries>);

impl Map {
    /// An empty mapping.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty mapping with room.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Self {
        Self(Box::new(Entries::with_capacity_and_hasher(entries, foldhash::fast::RandomState::default())))
    }
}

impl std::ops::Deref for Map {
    type Target = Entries;

    fn deref(&self) -> &Entries {
        &self.0
    }
}

impl std::ops::DerefMut for Map {
    fn deref_mut(&mut self) -> &mut Entries {
        &mut self.0
    }
}

impl FromIterator<(String, Node)> for Map {
    fn from_iter<I: IntoIterator<Item = (String, Node)>>(entries: I) -> Self {
        Self(Box::new(entries.into_iter().collect()))
    }
}

impl Extend<(String, Node)> for Map {
    fn extend<I: IntoIterator<Item = (String, Node)>>(&mut self, entries: I) {
        self.0.extend(entries);
    }
}

impl IntoIterator for Map {
    type Item = (String, Node);
    type IntoIter = indexmap::map::IntoIter<String, Node>;

    fn into_iter(self) -> Self::IntoIter {
        (*self.0).into_iter()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a String, &'a Node);
    type IntoIter = indexmap::map::Iter<'a, String, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a mut Map {
    type Item = (&'a String, &'a mut Node);
    type IntoIter = indexmap::map::IterMut<'a, String, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where the value is written.
    pub span: Span,
    /// Where the key that leads here is written.
    pub key: Span,
    /// What the pipeline did to it.
    pub trail: Trail,
    /// `!reset` or `!override`, until the reset stage has read it.
    pub tag: Tag,
}

/// The two tags that Compose gives a meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tag {
    /// None of them.
    #[default]
    None,
    /// Remove what earlier files said here.
    Reset,
    /// Replace what earlier files said here.
    Override,
}

/// A YAML value, resolved as the reference implementation's YAML library resolves it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`; `yes` and `on` are text until a field wants a boolean.
    Bool(bool),
    /// An integer, octal with a leading zero included.
    Int(i64),
    /// An integer above `i64::MAX`.
    Big(u64),
    /// A floating-point number.
    Float(f64),
    /// A plain scalar that reads as a date.
    Time(Box<Timestamp>),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
    /// A value whose error has been reported; later stages pass over it.
    Broken,
}

/// A date, kept in the three forms that the canonical model may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// As written.
    pub raw: String,
    /// As the reference prints it inside a string, for instance `2024-01-02 00:00:00 +0000 UTC`.
    pub spelled: String,
    /// RFC 3339.
    pub rfc3339: String,
}

impl Node {
    /// A node without a place: a default or a value from the environment.
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self { value, span: Span::NONE, key: Span::NONE, trail: Trail::default(), tag: Tag::None }
    }

    /// A node at a place.
    #[must_use]
    pub fn at(value: Value, span: Span) -> Self {
        Self { span, ..Self::new(value) }
    }

    /// A text node without a place.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Value::Text(text.into()))
    }

    /// The same place and history with another value.
    #[must_use]
    pub fn with(&self, value: Value) -> Self {
        Self { value, span: self.span, key: self.key, trail: self.trail.clone(), tag: Tag::None }
    }

    /// The same place and history without the value.
    #[must_use]
    pub fn clone_shell(&self) -> Self {
        self.with(Value::Null)
    }

    /// The items of a sequence; none for anything else.
    #[must_use]
    pub fn into_list(self) -> Vec<Self> {
        match self.value {
            Value::List(list) => list,
            _ => Vec::new(),
        }
    }

    /// The mapping inside.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The mapping inside, to change.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The sequence inside.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// The text inside.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether there is nothing here.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The value under a key of a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    /// The value at a path of keys.
    #[must_use]
    pub fn at_path(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The best place to point at: the key, else the value.
    #[must_use]
    pub fn place(&self) -> Span {
        self.key.or(self.span)
    }

    /// Number of nodes below and including this one.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.value {
            Value::List(list) => 1 + list.iter().map(Self::count).sum::<usize>(),
            Value::Map(map) => 1 + map.values().map(Self::count).sum::<usize>(),
            _ => 1,
        }
    }
}

impl Value {
    /// The mapping inside.
    #[must_use]
    pub fn into_map(self) -> Option<Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The word for people.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Big(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Time(_) | Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Broken => "an invalid value",
        }
    }
}

/// Two nodes are equal when their values are; places and history don't count.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}
