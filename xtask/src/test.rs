//! All tests of the workspace, and one plain line at the end.
//!
//! A test that needs what this machine lacks passes after it has printed `skipped, because …` and
//! appended `name: reason` to the file named in `HOIST_SKIPPED`. Those are counted and listed here.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::metadata;
use crate::packages;
use crate::run::{self, Result, cargo, must};
use crate::tally::Tally;

pub(crate) fn run(arguments: &[String]) -> Result {
    let (own, runner): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|a| *a == "--no-install");
    if own.is_empty() {
        packages::install(packages::FOR_TESTS)?;
    }
    // Scenarios start the binary, which the test runners build only for its own package.
    must(&mut cargo(&["build", "--workspace", "--bins", "--quiet"]))?;
    let skipped_file = metadata::read()?.target.join("skipped-tests.txt");
    fs::write(&skipped_file, "")?;
    let mut tests = test_runner();
    tests.args(runner).env("HOIST_SKIPPED", &skipped_file);
    let (tally, ok) = run_tests(&mut tests)?;
    conclude(tally, &fs::read_to_string(&skipped_file)?, ok)
}

/// nextest gives every test a process of its own and tells which one hangs; without it, Cargo's runner.
fn test_runner() -> Command {
    if run::exists("cargo-nextest") {
        return cargo(&[
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--no-tests=pass",
            "--color=never",
        ]);
    }
    cargo(&["test", "--workspace", "--no-fail-fast", "--all-targets"])
}

/// Runs the tests and reads along. Both streams are read as one, in order: nextest sums up on standard
/// error, Cargo's runner on standard output.
fn run_tests(command: &mut Command) -> Result<(Tally, bool)> {
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    eprintln!("$ {}", run::shown(command));
    let mut child = command.spawn()?;
    // The command keeps write ends of its own, and the pipe would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut tally = Tally::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        tally.read(&line);
    }
    Ok((tally, child.wait()?.success()))
}

fn conclude(mut tally: Tally, skipped: &str, ok: bool) -> Result {
    let skipped: BTreeSet<&str> = skipped.lines().filter(|line| !line.is_empty()).collect();
    let names: BTreeSet<&str> = skipped.iter().map(|line| line.split(": ").next().unwrap_or(line)).collect();
    tally.skip_passed(names.len());
    if !skipped.is_empty() {
        println!("\nskipped, because what they need is absent here ({}):", names.len());
        skipped.iter().for_each(|line| println!("  {line}"));
    }
    println!("\n{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    if ok && tally.failed == 0 {
        return Ok(());
    }
    Err("not all tests passed".into())
}
