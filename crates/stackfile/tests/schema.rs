//! The JSON schema for editors.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hoist_stackfile::json_schema;

#[test]
fn every_reference_has_its_definition() {
    let schema = json_schema();
    let definitions = schema["$defs"].as_object().unwrap();
    let text = schema.to_string();
    let references: Vec<&str> =
        text.split("\"#/$defs/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(references.len() > 50);
    for reference in references {
        assert!(definitions[reference].is_object(), "{reference}");
    }
}

#[test]
fn the_schema_has_all_attributes_and_ours() {
    let schema = json_schema();
    let service =
        schema["$defs"].as_object().unwrap().values().find(|d| d["description"] == "a service").unwrap();
    // 93 attributes and `x-hoist`.
    assert_eq!(service["properties"].as_object().unwrap().len(), 94);
    assert_eq!(service["additionalProperties"], false);
    assert!(schema["properties"]["x-hoist"].is_object());
}
