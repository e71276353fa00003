//! YAML as Compose files are written: bytes of one file each, and the model or a refusal.

use super::case::{Case, Met, Verdict};
use super::compare::same;
use hoist_stackfile::canonical::{escape_dollars, to_json};
use hoist_stackfile::{Dialect, MemoryReader, Source, Sources, load};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

#[derive(Debug, Deserialize)]
struct Bytes {
    name: String,
    text: Option<String>,
    base64: Option<String>,
    expected: Option<Value>,
    #[serde(default)]
    error: bool,
}

/// All cases, in the form of the others.
pub(crate) fn read(file: &Path) -> Vec<Case> {
    let found: Vec<Bytes> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let case = |bytes: Bytes| Case {
        name: bytes.name,
        kind: "yaml".to_owned(),
        input: json!({"text": bytes.text, "base64": bytes.base64}),
        env: std::collections::BTreeMap::default(),
        expected: bytes.expected,
        error: bytes.error.then(|| "refused".to_owned()),
    };
    found.into_iter().map(case).collect()
}

pub(crate) fn run(case: &Case) -> Verdict {
    let bytes = match case.input["base64"].as_str() {
        Some(text) => decode(text),
        None => case.input["text"].as_str().unwrap().as_bytes().to_vec(),
    };
    let reader = MemoryReader::default().with("/p/compose.yaml", bytes);
    let sources = Sources {
        files: vec![Source { path: "/p/compose.yaml".to_owned(), text: None }],
        project_dir: "/p".to_owned(),
        name_from_folder: true,
        ..Sources::default()
    };
    match (&case.expected, load(&sources, &reader)) {
        (None, Err(_)) => Ok(Met::Same),
        (None, Ok(_)) => Err("accepted, is refused elsewhere".to_owned()),
        (Some(_), Err(findings)) => Err(super::corpus::first(&findings)),
        (Some(expected), Ok(loaded)) => {
            let got = escape_dollars(&to_json(&loaded.project.canonical(Dialect::Json)));
            same(expected, &serde_json::from_str(&got).unwrap()).map(|()| Met::Same)
        }
    }
}

fn decode(text: &str) -> Vec<u8> {
    let digit = |byte: u8| {
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        u32::try_from(digits.iter().position(|digit| *digit == byte).unwrap()).unwrap()
    };
    let text = text.trim_end_matches('=').as_bytes();
    let bytes = text.chunks(4).flat_map(|chunk| {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 6 | digit(*byte)) << (6 * (4 - chunk.len()));
        bits.to_be_bytes()[1..chunk.len()].to_vec()
    });
    bytes.collect()
}
