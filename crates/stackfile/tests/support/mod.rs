//! Loading from memory, for tests.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use hoist_stackfile::{
    Diagnostic, Loaded, LowerOptions, Lowered, MemoryReader, Source, Sources, load, lower,
};

/// Sources of one file in `/p/stack.yaml`.
pub fn sources(text: &str) -> Sources {
    Sources {
        files: vec![Source { path: "/p/stack.yaml".to_owned(), text: Some(text.to_owned()) }],
        project_dir: "/p".to_owned(),
        name_from_folder: true,
        home: Some("/home/me".to_owned()),
        ..Sources::default()
    }
}

pub fn load_text(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    load(&sources(text), &MemoryReader::default())
}

pub fn lower_text(text: &str) -> Result<Lowered, Vec<Diagnostic>> {
    let reader = MemoryReader::default().with("/p/secret.txt", "hunter2");
    let loaded = load(&sources(text), &reader)?;
    lower(&loaded.project, &LowerOptions::default(), &reader)
}

/// One line per finding.
pub fn lines(findings: &[Diagnostic]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}
