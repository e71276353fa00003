//! Hundreds of archives, hostile and odd ones included: the same tree as GNU tar's and Docker's, or a refusal; what
//! differs is listed in `docs/unpack-differences.md`. And never anything outside.

#![allow(clippy::unwrap_used, reason = "test set-up")]

mod cases;
mod compare;
mod oracles;
mod raw;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cases::Case;
use compare::{Listed, ours};
use oracles::Outcome;
use support::{have, tree};

#[test]
fn archives_give_the_tree_that_others_give_or_are_refused_and_place_nothing_outside() {
    if !have("archives", "tar") {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let root = tmp.path();
    let canary = root.join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("secret"), "untouched").unwrap();
    let before = tree(&canary);
    let cases = cases::all(canary.to_str().unwrap());
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "names are unique");

    // In memory, where a daemon's many syncs cost nothing.
    let memory =
        tempfile::tempdir_in(["/dev/shm", "/tmp"].iter().find(|path| Path::new(path).is_dir()).unwrap());
    let memory = memory.unwrap();
    let docker = oracles::docker(&cases, memory.path());
    let listed = Listed::read();
    let mut found = Vec::new();
    let (mut trees, mut refused) = (0, 0);
    for (n, case) in cases.iter().enumerate() {
        let (outcome, unlike) = ours(case, &root.join(format!("ours/{n}")));
        assert_eq!(tree(&canary), before, "{} changed something outside", case.name);
        match outcome {
            Outcome::Tree(_) => trees += 1,
            Outcome::Refused(_) => refused += 1,
        }
        let gnu = oracles::gnu(&case.bytes, &root.join(format!("gnu/{n}")));
        found.extend(listed.unlisted("tar", case, &outcome, &compare::gnu(&gnu, &outcome, &unlike)));
        let theirs = docker.as_ref().and_then(|docker| compare::docker(&docker[n], &unlike));
        found.extend(theirs.and_then(|theirs| listed.unlisted("docker", case, &outcome, &theirs)));
    }
    let peers = if docker.is_some() { "GNU tar and Docker" } else { "GNU tar" };
    println!("{} archives: {trees} trees, {refused} refusals, beside {peers}", cases.len());
    assert!(cases.len() >= 300, "{} archives", cases.len());
    assert!(found.is_empty(), "{} differences are not as listed:\n{}", found.len(), found.join("\n"));
    only_ours(root, &cases);
}

/// Beside each tree there is nothing.
fn only_ours(root: &Path, cases: &[Case]) {
    for (n, case) in cases.iter().enumerate() {
        let folder = root.join(format!("ours/{n}"));
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "{}", case.name);
    }
    assert_eq!(fs::read_dir(root.join("ours")).unwrap().count(), cases.len());
}
