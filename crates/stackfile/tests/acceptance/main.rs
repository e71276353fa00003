//! Compose acceptance cases: how Compose files are read elsewhere, compared with how they are read here.
//!
//! The cases are data kept outside the repository: `../shared` beside the workspace, or the folder that
//! `HOIST_COMPOSE_ACCEPTANCE` names, with `compose-cases/`, `compose-corpus/` and `compose-expected/`. Without
//! it the tests skip by name. Differences held to be right are listed in `docs/compose-differences.md`, from
//! which the names are read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod compare;
mod corpus;
mod disk;
mod load;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One case of a file of cases.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Case {
    pub name: String,
    pub kind: String,
    pub input: Value,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    pub expected: Option<Value>,
    pub error: Option<String>,
}

/// What went wrong with a case.
pub(crate) type Verdict = Result<(), String>;

pub(crate) fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let named = std::env::var_os("HOIST_COMPOSE_ACCEPTANCE").map(PathBuf::from);
    let folder = named.unwrap_or(beside).canonicalize().ok()?;
    folder.join("compose-cases").is_dir().then_some(folder)
}

pub(crate) fn read_cases(folder: &Path) -> Vec<Case> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect();
    files.sort();
    let read =
        |path: &PathBuf| -> Vec<Case> { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    files.iter().flat_map(read).collect()
}

/// The names of cases whose answer differs by decision.
fn differences() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compose-differences.md");
    let text = std::fs::read_to_string(page).unwrap_or_default();
    text.lines().filter_map(|line| Some(line.strip_prefix("- `")?.split('`').next()?.to_owned())).collect()
}

/// Runs all cases and fails with a list, by kind.
fn judge(cases: &[Case], run: impl Fn(&Case) -> Verdict) {
    let differing = differences();
    let only = std::env::var("HOIST_ACCEPTANCE_ONLY").ok();
    let mut by_kind: BTreeMap<&str, (usize, Vec<String>)> = BTreeMap::new();
    let mut differences_used = 0;
    for case in cases.iter().filter(|case| only.as_ref().is_none_or(|only| case.name.contains(only.as_str())))
    {
        let (count, failures) = by_kind.entry(&case.kind).or_default();
        *count += 1;
        match run(case) {
            Ok(()) => {}
            Err(_) if differing.contains(&case.name) => differences_used += 1,
            Err(reason) => failures.push(format!("{}: {reason}", case.name)),
        }
    }
    let mut failed = 0;
    for (kind, (count, failures)) in &by_kind {
        failed += failures.len();
        println!("{kind}: {} of {count} as elsewhere", count - failures.len());
        failures.iter().for_each(|failure| println!("  FAILED {failure}"));
    }
    println!("{differences_used} differ by decision (docs/compose-differences.md)");
    assert_eq!(failed, 0, "{failed} cases differ");
}

#[test]
fn compose_cases() {
    let Some(folder) = data() else {
        println!("compose_cases: skipped, because the acceptance data is not here");
        return;
    };
    judge(&read_cases(&folder.join("compose-cases")), cases::run);
}

#[test]
fn compose_corpus() {
    let Some(folder) = data() else {
        println!("compose_corpus: skipped, because the acceptance data is not here");
        return;
    };
    let corpus = folder.join("compose-corpus");
    judge(&read_cases(&folder.join("compose-expected")), |case| corpus::run(case, &corpus));
}

#[test]
fn canonical_form_is_a_fixed_point() {
    let Some(folder) = data() else {
        println!("canonical_form_is_a_fixed_point: skipped, because the acceptance data is not here");
        return;
    };
    let corpus = folder.join("compose-corpus");
    judge(&read_cases(&folder.join("compose-expected")), |case| corpus::round_trip(case, &corpus));
}
