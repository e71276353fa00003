//! Models are equal when nothing but absence, null and emptiness differs; commands are compared exactly.

use serde_json::{Map, Value};

/// Drops what counts as not there.
pub(crate) fn strip(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, value) in map {
                let exact = matches!(key.as_str(), "command" | "entrypoint");
                let value = if exact { value.clone() } else { strip(value) };
                let empty = match &value {
                    Value::Null => true,
                    Value::String(text) => text.is_empty(),
                    Value::Array(list) => list.is_empty(),
                    Value::Object(map) => map.is_empty(),
                    _ => false,
                };
                if exact || !empty {
                    out.insert(key.clone(), value);
                }
            }
            Value::Object(out)
        }
        Value::Array(list) => Value::Array(list.iter().map(strip).collect()),
        other => other.clone(),
    }
}

/// The first differences, by path.
pub(crate) fn differences(expected: &Value, got: &Value, path: &str, out: &mut Vec<String>) {
    if out.len() >= 4 {
        return;
    }
    match (expected, got) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, expected) in a {
                match b.get(key) {
                    Some(got) => differences(expected, got, &format!("{path}.{key}"), out),
                    None => out.push(format!("{path}.{key}: missing, expected {expected}")),
                }
            }
            for (key, got) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                out.push(format!("{path}.{key}: {got}, expected nothing"));
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(a, b, &format!("{path}[{index}]"), out);
            }
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        (a, b) if a == b => {}
        (a, b) => out.push(format!("{path}: {b}, expected {a}")),
    }
}

/// Compares two models.
pub(crate) fn same(expected: &Value, got: &Value) -> Result<(), String> {
    let mut out = Vec::new();
    differences(&strip(expected), &strip(got), "", &mut out);
    if out.is_empty() { Ok(()) } else { Err(out.join("; ")) }
}
