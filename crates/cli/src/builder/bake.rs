//! `hoist build --print`: builds as `docker buildx bake` reads them (its file format, in JSON).
//!
//! What the file and the command line say, without the content of anything: secrets by where they come from.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Wanted;

/// Attributes of `build` that are the same there, by both names.
const SAME: [(&str, &str); 14] = [
    ("context", "context"),
    ("dockerfile", "dockerfile"),
    ("dockerfile_inline", "dockerfile-inline"),
    ("target", "target"),
    ("cache_from", "cache-from"),
    ("cache_to", "cache-to"),
    ("no_cache_filter", "no-cache-filter"),
    ("platforms", "platforms"),
    ("network", "network"),
    ("shm_size", "shm-size"),
    ("entitlements", "entitlements"),
    ("labels", "labels"),
    ("ssh", "ssh"),
    ("extra_hosts", "extra-hosts"),
];

/// The file. `services` and `secrets` are the stack file's, in canonical form.
pub(super) fn file(wanted: &[Wanted], services: &Value, secrets: &Value) -> Value {
    let names: Vec<&str> = wanted.iter().map(|wanted| wanted.service.as_str()).collect();
    let targets: Map<String, Value> = wanted
        .iter()
        .map(|wanted| {
            let name = wanted.service.as_str();
            (name.to_owned(), target(wanted, &services[name]["build"], secrets))
        })
        .collect();
    json!({ "group": { "default": { "targets": names } }, "target": targets })
}

fn target(wanted: &Wanted, build: &Value, secrets: &Value) -> Value {
    let request = &wanted.request;
    let mut target = Map::new();
    for (ours, theirs) in SAME {
        let value = &build[ours];
        if !value.is_null() {
            target.insert(theirs.to_owned(), value.clone());
        }
    }
    let contexts: BTreeMap<&String, Value> = build["additional_contexts"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, place)| {
            let service = place.as_str().and_then(|place| place.strip_prefix("service:"));
            (name, service.map_or_else(|| place.clone(), |service| json!(format!("target:{service}"))))
        })
        .collect();
    let uses = build["secrets"].as_array().into_iter().flatten();
    let uses: Vec<String> = uses.map(|used| secret(used, secrets)).collect();
    for (key, value, there) in [
        ("contexts", json!(contexts), !contexts.is_empty()),
        ("args", json!(request.arguments), !request.arguments.is_empty()),
        ("secret", json!(uses), !uses.is_empty()),
        ("tags", json!(request.names), true),
        ("no-cache", json!(true), request.no_cache),
        ("pull", json!(true), request.pull),
        ("output", json!(["type=docker"]), true),
    ] {
        if there {
            target.insert(key.to_owned(), value);
        }
    }
    if let Some(limits) = build["ulimits"].as_object() {
        target.insert("ulimits".to_owned(), limits.iter().map(ulimit).collect());
    }
    Value::Object(target)
}

fn ulimit((name, value): (&String, &Value)) -> Value {
    match value {
        Value::Object(both) => json!(format!("{name}={}:{}", both["soft"], both["hard"])),
        one => json!(format!("{name}={one}:{one}")),
    }
}

fn secret(used: &Value, secrets: &Value) -> String {
    let source = used["source"].as_str().unwrap_or_default();
    let id = used["target"].as_str().filter(|target| !target.is_empty()).unwrap_or(source);
    let id = id.rsplit('/').next().unwrap_or(id);
    let declared = &secrets[source];
    match (declared["file"].as_str(), declared["environment"].as_str()) {
        (Some(file), _) => format!("id={id},type=file,src={file}"),
        (None, Some(name)) => format!("id={id},type=env,env={name}"),
        (None, None) => format!("id={id}"),
    }
}
