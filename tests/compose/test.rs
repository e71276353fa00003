//! Real Compose files through the binary: `hoist config` gives the model that docker compose gives, or an error where
//! it gives one, and reads its own output as the same again.
//!
//! The files and answers are data kept outside the repository; see `crates/stackfile/tests/acceptance`, which runs the
//! small cases too, in process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../crates/stackfile/tests/acceptance/case.rs"]
mod case;
#[path = "../../crates/stackfile/tests/acceptance/compare.rs"]
mod compare;
#[path = "../../crates/stackfile/tests/acceptance/decided.rs"]
mod decided;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use case::{Case, Met, Verdict, corpus as corpus_of, data, judge, read_cases};
use decided::meets;
use hoist_tests::host::binary;
use hoist_tests::skip::skipped;
use serde_json::Value;

/// `hoist config` as the case's person would run it, with exactly the case's environment.
fn config(case: &Case, corpus: &Path) -> Command {
    let text = |key: &str| case.input[key].as_str().unwrap();
    let texts = |key: &str| case.input[key].as_array().cloned().unwrap_or_default();
    let mut command = Command::new(binary());
    command.current_dir(corpus.join(text("root")).join(text("dir"))).env_clear().envs(&case.env);
    command.stdin(Stdio::null());
    for (key, flag) in [("files", "--file"), ("env_files", "--env-file"), ("profiles", "--profile")] {
        for word in texts(key) {
            command.args([flag, word.as_str().unwrap()]);
        }
    }
    command.arg("config");
    command
}

/// What it prints, or the first line of its errors.
fn answer(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap();
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap());
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    let first = errors.lines().find(|line| line.starts_with("error")).unwrap_or_default();
    Err(first.to_owned())
}

fn run(case: &Case, corpus: &Path) -> Verdict {
    let got = answer(config(case, corpus).args(["--format", "json"]));
    // `config` doubles every `$`, so that what it prints can be read again.
    let got = got.map(|text| serde_json::from_str::<Value>(&text.replace("$$", "$")).unwrap());
    meets(case, case.expected_in(corpus).as_ref(), got)
}

/// The canonical form, given to `hoist config` again on standard input, comes out as it went in.
fn again(case: &Case, corpus: &Path) -> Verdict {
    let Ok(first) = answer(&mut config(case, corpus)) else { return Ok(Met::Same) };
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.current_dir(folder.path()).env_clear().envs(&case.env);
    command.args(["-f", "-", "--profile", "*", "config"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(first.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let second = String::from_utf8(output.stdout).unwrap();
    match second == first {
        true => Ok(Met::Same),
        false => Err(format!("{:?}", first.lines().zip(second.lines()).find(|(a, b)| a != b))),
    }
}

#[test]
fn every_real_file_means_what_it_means_elsewhere() {
    let Some(folder) = data() else { return skipped("the acceptance data is not here") };
    let corpus = corpus_of(&folder);
    judge(&read_cases(&folder.join("compose-expected")), |case| run(case, &corpus));
}

#[test]
fn what_config_prints_reads_as_the_same() {
    let Some(folder) = data() else { return skipped("the acceptance data is not here") };
    let corpus = corpus_of(&folder);
    // All of them are run in process; here, every tenth.
    let sample: Vec<Case> = read_cases(&folder.join("compose-expected")).into_iter().step_by(10).collect();
    judge(&sample, |case| again(case, &corpus));
}
