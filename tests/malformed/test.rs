//! Malformed stack files: each an error of its own with its place, exit code 2, and nothing started.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hoist_tests::{Host, Outcome};

/// The first line of each file says what must be found: `# expect LINE:COLUMN WORDS`.
fn files() -> Vec<(PathBuf, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("malformed/files");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let expected = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        let words = text.lines().next().and_then(|line| line.strip_prefix("# expect ")).map(str::to_owned);
        let words = words.unwrap_or_else(|| panic!("{} doesn't say what to expect", file.display()));
        let (place, words) = words.split_once(' ').unwrap();
        (place.to_owned(), words.to_owned())
    };
    files
        .into_iter()
        .map(|file| {
            let (place, words) = expected(&file);
            (file, place, words)
        })
        .collect()
}

#[test]
fn each_malformed_file_is_an_error_of_its_own_and_nothing_is_started() {
    let Some(host) = Host::new() else { return };
    let files = files();
    assert!(files.len() >= 20, "{}", files.len());
    let before = host.stack("malformed/files/20-no-boolean.yaml").listing();
    let mut messages = BTreeMap::new();
    for (file, place, words) in &files {
        let name = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap();
        let stack = host.stack(name);
        let refused: Outcome = stack.hoist(&["up", "-d"]).ended_with(2);
        let at = format!("{}:{place}", file.display());
        assert!(refused.stderr.contains(&at), "{at} is not in\n{refused}");
        assert!(refused.stderr.contains(words.as_str()), "{words:?} is not in\n{refused}");
        assert!(refused.stderr.contains("nothing was changed"), "{refused}");
        let first = refused.stderr.lines().next().unwrap_or_default().to_owned();
        if let Some(other) = messages.insert(first.clone(), name) {
            panic!("{name} and {other} give the same: {first}");
        }
    }
    let after = host.stack("malformed/files/20-no-boolean.yaml").listing();
    assert_eq!(after.changes_since(&before), "");
}
