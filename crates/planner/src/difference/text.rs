//! Values as people write them.

use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Digits of a digest that are shown: enough to tell two apart.
const DIGITS: usize = 12;

/// Content by its digest and size.
pub(super) fn digest(content: &[u8]) -> String {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{} ({} bytes)", &hex[..DIGITS], content.len())
}

pub(super) fn list(words: &[String]) -> String {
    words.join(", ")
}

/// A value on one line; empty where there is nothing to say, or where it has fields of its own.
pub(super) fn leaf(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(false) => String::new(),
        Value::Bool(true) => "true".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => list(&items.iter().map(item).collect::<Vec<_>>()),
        Value::Object(inner) => object(inner),
    }
}

/// What is one value in the file though it is an object here: durations, and commands that are given.
fn object(inner: &Map<String, Value>) -> String {
    if let (Some(secs), Some(nanos), 2) = (number(inner, "secs"), number(inner, "nanos"), inner.len()) {
        let duration = Duration::from_secs(secs) + Duration::from_nanos(nanos);
        return if duration.is_zero() { String::new() } else { format!("{duration:?}") };
    }
    match inner.iter().next() {
        Some((key, given)) if inner.len() == 1 && key == "given" => given.to_string(),
        _ => String::new(),
    }
}

fn number(inner: &Map<String, Value>, key: &str) -> Option<u64> {
    inner.get(key).and_then(Value::as_u64)
}

fn item(value: &Value) -> String {
    match value {
        Value::Array(parts) => parts.iter().map(leaf).collect::<Vec<_>>().join(":"),
        Value::Object(inner) => {
            let parts = inner.iter().filter(|(_, value)| !leaf(value).is_empty());
            parts.map(|(key, value)| format!("{key} {}", leaf(value))).collect::<Vec<_>>().join(" ")
        }
        other => leaf(other),
    }
}
