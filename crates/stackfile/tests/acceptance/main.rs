//! Compose acceptance cases: how Compose files are read elsewhere, compared with how they are read here.
//!
//! The cases are data kept outside the repository: `../shared` beside the workspace, or the folder that
//! `HOIST_COMPOSE_ACCEPTANCE` names, with `compose-cases/`, `compose-corpus/`, `compose-expected/` and `yaml-cases/`. Without
//! it the tests skip by name. Differences held to be right are listed in `docs/compose-differences.md`, from
//! which the names are read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod case;
mod cases;
mod compare;
mod corpus;
mod decided;
mod disk;
mod load;
mod tree;
mod yaml;

use case::{corpus as corpus_of, data, judge, read_cases};
use std::io::Write;

/// Says so, and where `cargo xtask test` counts it.
fn skip(test: &str) {
    let why = "the acceptance data is not here";
    println!("{test}: skipped, because {why}");
    if let Some(list) = std::env::var_os("HOIST_SKIPPED") {
        let mut list = std::fs::OpenOptions::new().create(true).append(true).open(list).unwrap();
        writeln!(list, "{test}: {why}").unwrap();
    }
}

#[test]
fn compose_cases() {
    let Some(folder) = data() else { return skip("compose_cases") };
    judge(&read_cases(&folder.join("compose-cases")), cases::run);
}

#[test]
fn compose_corpus() {
    let Some(folder) = data() else { return skip("compose_corpus") };
    let corpus = corpus_of(&folder);
    judge(&read_cases(&folder.join("compose-expected")), |case| corpus::run(case, &corpus));
}

#[test]
fn yaml_cases() {
    let file = data().map(|folder| folder.join("yaml-cases/cases.json")).filter(|file| file.is_file());
    let Some(file) = file else { return skip("yaml_cases") };
    judge(&yaml::read(&file), yaml::run);
}

#[test]
fn canonical_form_is_a_fixed_point() {
    let Some(folder) = data() else { return skip("canonical_form_is_a_fixed_point") };
    let corpus = corpus_of(&folder);
    judge(&read_cases(&folder.join("compose-expected")), |case| corpus::round_trip(case, &corpus));
}
