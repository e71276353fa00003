//! A real keeper, real containers, real kills. Needs root; every container has namespaces of its own.
//!
//! The keeper is this very program, started again with `keeper` as its first argument.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test program of its own, whose panics are failures"
)]

mod adopt;
mod agent;
mod holder;
mod host;
mod lives;
mod lossless;
mod process;
mod upgrade;

use libtest_mimic::{Arguments, Failed, Trial};

type Test = (&'static str, fn());

const TESTS: &[&[Test]] = &[
    lives::TESTS,
    adopt::TESTS,
    lossless::TESTS,
    agent::TESTS,
    holder::TESTS,
    process::TESTS,
    upgrade::TESTS,
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("keeper") => host::keeper_main(&args[2..]),
        Some("holder") => hoist_keeper::hold().unwrap(),
        Some("mark") => agent::mark_main(&args[2..]),
        _ => run_tests(),
    }
}

fn run_tests() {
    let arguments = Arguments::from_args();
    let trials = TESTS.iter().flat_map(|tests| tests.iter()).map(|(name, test)| trial(name, *test)).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &'static str, test: fn()) -> Trial {
    let is_root = rustix::process::geteuid().is_root();
    Trial::test(name, move || {
        if !is_root {
            return Err(Failed::from("skipped, because it needs root"));
        }
        test();
        Ok(())
    })
    .with_ignored_flag(!is_root)
}
