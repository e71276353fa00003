//! JSON values as trees of the library, and back.

use hoist_stackfile::node::{Node, Value as NodeValue};
use serde_json::Value;

/// A JSON value as a tree.
pub(crate) fn tree(value: &Value) -> Node {
    Node::new(match value {
        Value::Null => NodeValue::Null,
        Value::Bool(flag) => NodeValue::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(int) => NodeValue::Int(int),
            None => NodeValue::Float(number.as_f64().unwrap()),
        },
        Value::String(text) => NodeValue::Text(text.clone()),
        Value::Array(list) => NodeValue::List(list.iter().map(tree).collect()),
        Value::Object(map) => {
            NodeValue::Map(map.iter().map(|(key, value)| (key.clone(), tree(value))).collect())
        }
    })
}

/// A tree as JSON.
pub(crate) fn json(node: &Node) -> Value {
    serde_json::to_value(hoist_stackfile::canonical::Plain(node)).unwrap()
}
