//! The canonical form written down, as `docker compose config` does: JSON and YAML differ in small ways.

use crate::node::{Map, Node, Value};
use crate::schema::{Form, PROJECT, Record};
use crate::stages::environment::CONTENT_KEY;
use crate::syntax::volume::OPTIONS_KEY;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// No `x-` keys below the top; commands that aren't given are null.
    Json,
    /// Everything, `x-` keys included.
    Yaml,
}

/// The tree to write, from a decoded one.
#[must_use]
pub fn render(top: &Node, dialect: Dialect) -> Node {
    let mut out = record(top, &PROJECT, dialect);
    if let (Dialect::Json, Some(map)) = (dialect, out.as_map_mut()) {
        for (key, node) in top.as_map().into_iter().flatten().filter(|(key, _)| key.starts_with("x-")) {
            map.insert(key.clone(), node.clone());
        }
    }
    out
}

fn record(node: &Node, record: &'static Record, dialect: Dialect) -> Node {
    let Some(map) = node.as_map() else { return node.clone() };
    let mut out = Map::with_capacity(map.len() + 2);
    for field in record.fields {
        let name = match (dialect, field.json) {
            (Dialect::Json, Some(name)) => name,
            _ => field.name,
        };
        match (map.get(field.name), field.form) {
            (Some(node), form) => {
                if let Some(node) = value(node, form, dialect) {
                    out.insert(name.to_owned(), node);
                }
            }
            (None, Form::Command) if dialect == Dialect::Json => {
                out.insert(name.to_owned(), Node::new(Value::Null));
            }
            (None, Form::ShownRecord(record)) if dialect == Dialect::Json => {
                let empty = Node::new(Value::Map(Map::new()));
                out.insert(name.to_owned(), self::record(&empty, record, dialect));
            }
            (None, Form::ShownNamed(_)) => {
                out.insert(name.to_owned(), Node::new(Value::Map(Map::new())));
            }
            (None, form) if field.shown => {
                let nothing = match form {
                    Form::Text => Value::Text(String::new()),
                    Form::Bytes => Value::Text("0".to_owned()),
                    _ => Value::Int(0),
                };
                out.insert(name.to_owned(), Node::new(nothing));
            }
            (None, _) => {}
        }
    }
    if dialect == Dialect::Yaml {
        let own = [CONTENT_KEY, OPTIONS_KEY];
        for (key, node) in map.iter().filter(|(key, _)| key.starts_with("x-") && !own.contains(&key.as_str()))
        {
            out.insert(key.clone(), node.clone());
        }
    }
    node.with(Value::Map(out))
}

fn value(node: &Node, form: Form, dialect: Dialect) -> Option<Node> {
    match (form, &node.value) {
        (Form::Command, Value::Null) if dialect == Dialect::Yaml => None,
        (Form::ShownRecord(_), Value::Map(map)) if map.is_empty() && dialect == Dialect::Yaml => None,
        (Form::Ulimits, Value::Map(map)) => {
            let entries = map.iter().map(|(name, node)| (name.clone(), ulimit(node, dialect)));
            Some(node.with(Value::Map(entries.collect())))
        }
        (Form::Record(inner) | Form::ShownRecord(inner), _) => Some(record(node, inner, dialect)),
        (Form::Records(inner), Value::List(list)) => {
            let items = list.iter().map(|item| record(item, inner, dialect)).collect();
            Some(node.with(Value::List(items)))
        }
        (Form::Named(inner) | Form::ShownNamed(inner) | Form::NamedOrNull(inner), Value::Map(map)) => {
            let entries = map.iter().map(|(key, node)| (key.clone(), record(node, inner, dialect)));
            Some(node.with(Value::Map(entries.collect())))
        }
        _ => Some(node.clone()),
    }
}

/// A limit of 0 is written as none in JSON and as both sides in YAML.
fn ulimit(node: &Node, dialect: Dialect) -> Node {
    let zero = || Node::new(Value::Int(0));
    match (&node.value, dialect) {
        (Value::Int(0), Dialect::Json) => node.with(Value::Map(Map::new())),
        (Value::Int(0), Dialect::Yaml) => {
            let sides = ["soft", "hard"].map(|side| (side.to_owned(), zero()));
            node.with(Value::Map(sides.into_iter().collect()))
        }
        (Value::Map(sides), Dialect::Json) => {
            let given = sides.iter().filter(|(_, side)| side.value != Value::Int(0));
            node.with(Value::Map(given.map(|(name, side)| (name.clone(), side.clone())).collect()))
        }
        _ => node.clone(),
    }
}

/// Writes a tree as JSON with two spaces.
#[must_use]
pub fn to_json(tree: &Node) -> String {
    serde_json::to_string_pretty(&Plain(tree)).expect("a tree has text keys and finite depth")
}

/// Writes a tree as YAML.
#[must_use]
pub fn to_yaml(tree: &Node) -> String {
    serde_yaml::to_string(&Plain(tree)).expect("a tree has text keys and finite depth")
}

/// Doubles every `$`, so that the text can be read as a stack file again.
#[must_use]
pub fn escape_dollars(text: &str) -> String {
    text.replace('$', "$$")
}

/// A node without its places, for serialisers.
#[derive(Debug)]
pub struct Plain<'a>(pub &'a Node);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.value {
            Value::Null | Value::Broken => serializer.serialize_unit(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Int(int) => serializer.serialize_i64(*int),
            Value::Big(big) => serializer.serialize_u64(*big),
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
            Value::Float(float) if float.fract() == 0.0 && float.abs() < 1e15 => {
                serializer.serialize_i64(*float as i64)
            }
            Value::Float(float) => serializer.serialize_f64(*float),
            Value::Time(time) => serializer.serialize_str(&time.rfc3339),
            Value::Text(text) => serializer.serialize_str(text),
            Value::List(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                for item in list {
                    seq.serialize_element(&Plain(item))?;
                }
                seq.end()
            }
            Value::Map(map) => {
                let mut out = serializer.serialize_map(Some(map.len()))?;
                for (key, node) in map {
                    out.serialize_entry(key, &Plain(node))?;
                }
                out.end()
            }
        }
    }
}
