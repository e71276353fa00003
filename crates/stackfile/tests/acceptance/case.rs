//! The data: where it is, what a case looks like, and how many of them are met.

use super::decided::Decided;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

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

impl Case {
    /// The expected model, its folders put in place.
    pub(crate) fn expected_in(&self, corpus: &Path) -> Option<Value> {
        let root = corpus.join(self.input["root"].as_str().unwrap());
        let text = self.expected.as_ref()?.to_string().replace("${ROOT}", &root.to_string_lossy());
        Some(serde_json::from_str(&text.replace("${CORPUS}", &corpus.to_string_lossy())).unwrap())
    }
}

/// An answer that is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Met {
    /// As elsewhere.
    Same,
    /// Not as elsewhere, by a rule of `docs/compose-differences.md`.
    ByRule,
}

/// What became of a case: why it isn't met, otherwise.
pub(crate) type Verdict = Result<Met, String>;

/// The folder of the data, when it is here. A relative name counts from the workspace.
pub(crate) fn data() -> Option<PathBuf> {
    let named = std::env::var_os("HOIST_COMPOSE_ACCEPTANCE").unwrap_or("../shared".into());
    let folder = workspace().join(named).canonicalize().ok()?;
    folder.join("compose-cases").is_dir().then_some(folder)
}

/// The real files. Links are followed: programs see the folder they run in by its own name.
pub(crate) fn corpus(folder: &Path) -> PathBuf {
    folder.join("compose-corpus").canonicalize().unwrap()
}

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let found =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|dir| dir.join("Cargo.lock").is_file());
    found.unwrap().to_owned()
}

/// All cases of a folder.
pub(crate) fn read_cases(folder: &Path) -> Vec<Case> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ext| ext == "json")).collect();
    files.sort();
    let read =
        |path: &PathBuf| -> Vec<Case> { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    files.iter().flat_map(read).collect()
}

/// What became of the cases of one kind.
#[derive(Debug, Default)]
struct Tally {
    count: usize,
    decided: usize,
    failures: Vec<String>,
}

/// Runs all cases on all processors, and fails with a list, by kind.
pub(crate) fn judge(cases: &[Case], run: impl Fn(&Case) -> Verdict + Sync) {
    let decided = Decided::read(&workspace());
    let only = std::env::var("HOIST_ACCEPTANCE_ONLY").ok();
    let wanted = |case: &&Case| only.as_ref().is_none_or(|only| case.name.contains(only.as_str()));
    let cases: Vec<&Case> = cases.iter().filter(wanted).collect();
    let by_kind: Mutex<BTreeMap<&str, Tally>> = Mutex::default();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let verdict = run(case);
            let mut tallies = by_kind.lock().unwrap();
            let tally = tallies.entry(&case.kind).or_default();
            tally.count += 1;
            match verdict {
                Ok(Met::Same) => {}
                Ok(Met::ByRule) => tally.decided += 1,
                Err(_) if decided.names(&case.name) => tally.decided += 1,
                Err(reason) => tally.failures.push(format!("{}: {reason}", case.name)),
            }
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..processors).for_each(|_| drop(scope.spawn(work))));
    let tallies = by_kind.into_inner().unwrap();
    for (kind, Tally { count, decided, failures }) in &tallies {
        let same = count - decided - failures.len();
        println!("{kind}: {same} of {count} as elsewhere, {decided} differ by decision");
        failures.iter().for_each(|failure| println!("  FAILED {failure}"));
    }
    let failed: usize = tallies.values().map(|tally| tally.failures.len()).sum();
    assert_eq!(failed, 0, "{failed} cases differ");
}
