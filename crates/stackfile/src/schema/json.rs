//! The table as a JSON schema, for editors.

use super::{BOOL, Field, INT, Keys, Limit, MapShape, NULL, NUM, PROJECT, Record, STR, Shape, hoist_shape};
use serde_json::{Map, Value, json};

/// The JSON schema (draft 2020-12) of a stack file, `x-hoist` included.
#[must_use]
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    let top = record(&PROJECT, &mut definitions);
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("Hoist stack file"));
    schema.extend(top.as_object().cloned().unwrap_or_default());
    schema.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(schema)
}

type Definitions = Map<String, Value>;

fn shape(shape: &'static Shape, definitions: &mut Definitions) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Scalar(kinds, limit) => scalar(*kinds, *limit),
        Shape::List { item, unique } => {
            let mut list = json!({"type": "array", "items": self::shape(item, definitions)});
            if *unique {
                list["uniqueItems"] = json!(true);
            }
            list
        }
        Shape::Map(map) => self::map(map, definitions),
        Shape::Record(record) => reference(record, definitions),
        Shape::Either(shapes) => {
            let shapes: Vec<Value> = shapes.iter().map(|shape| self::shape(shape, definitions)).collect();
            json!({"oneOf": shapes})
        }
    }
}

fn scalar(kinds: u8, limit: Limit) -> Value {
    let names = [(STR, "string"), (NUM, "number"), (INT, "integer"), (BOOL, "boolean"), (NULL, "null")];
    let types: Vec<&str> =
        names.iter().filter(|(kind, _)| kinds & kind != 0).map(|(_, name)| *name).collect();
    let mut out = match types.as_slice() {
        [only] => json!({"type": only}),
        several => json!({"type": several}),
    };
    match limit {
        Limit::None => {}
        Limit::OneOf(words) => out["enum"] = json!(words),
        Limit::Range(low, high) => {
            out["minimum"] = json!(low);
            if high != i64::MAX {
                out["maximum"] = json!(high);
            }
        }
        Limit::PullPolicy => {
            let every = "every_([0-9]+[wdhms])+";
            out["pattern"] =
                json!(format!("always|never|build|if_not_present|missing|refresh|daily|weekly|{every}"));
        }
        Limit::ContainerName => out["pattern"] = json!("[a-zA-Z0-9][a-zA-Z0-9_.-]+"),
    }
    out
}

fn map(map: &'static MapShape, definitions: &mut Definitions) -> Value {
    let pattern = match map.keys {
        Keys::Any => "^.+$",
        Keys::Name => "^[a-zA-Z0-9._-]+$",
        Keys::Lower => "^[a-z]+$",
    };
    let value = shape(&map.value, definitions);
    let mut out = json!({"type": "object", "patternProperties": {pattern: value}});
    if map.closed {
        out["additionalProperties"] = json!(false);
    }
    out
}

/// A record by name; its definition is written once.
fn reference(record: &'static Record, definitions: &mut Definitions) -> Value {
    let name = format!("{}_{:x}", record.what.replace([' ', '.'], "_"), record.fields.len());
    if !definitions.contains_key(&name) {
        definitions.insert(name.clone(), Value::Null);
        let definition = self::record(record, definitions);
        definitions.insert(name.clone(), definition);
    }
    json!({"$ref": format!("#/$defs/{name}")})
}

fn record(record: &'static Record, definitions: &mut Definitions) -> Value {
    let fields =
        record.fields.iter().map(|field: &Field| (field.name.to_owned(), shape(&field.shape, definitions)));
    let mut properties: Map<String, Value> = fields.collect();
    if let Some(own) = hoist_shape(record) {
        properties.insert("x-hoist".to_owned(), shape(own, definitions));
    }
    let mut out = json!({"type": "object", "description": record.what, "properties": properties});
    if record.extensible {
        out["patternProperties"] = json!({"^x-": {}});
    }
    if record.closed {
        out["additionalProperties"] = json!(false);
    }
    if !record.required.is_empty() {
        out["required"] = json!(record.required);
    }
    out
}
