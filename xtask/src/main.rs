//! The project's chores: `cargo xtask <chore>`. No chore is needed to build Hoist; each prints what it runs.
//!
//! Owns: what a machine needs for the tests, what a change must pass, and how a release is made. Does not
//! own: the tests and benches themselves.

mod bench;
mod check;
mod circles;
mod graph;
mod metadata;
mod modules;
mod packages;
mod release;
mod run;
mod tally;
mod test;
mod tidy;
mod unused;
mod vm;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <chore>

  test [--no-install] [ARGS…]  install what the tests need, run them all (ARGS go to the test runner)
  check                        format, clippy, cargo-deny, crate graph, circles of modules, tidiness
  audit                        known vulnerabilities in dependencies (needs a network)
  graph [--write]              print the crate graph; --write makes it the golden file
  circles [--write]            print which modules need each other in circles; --write lists them as known
  bench [NAME [ARGS…]]         run all benches or one
  release                      build the static binary and verify that it is one
  vm build                     make the test machine's kernel and root file system
  vm run [-s DIR] [-m MIB] [-c CPUS] [-t SECONDS] -- COMMAND
                               run a command as root in a fresh guest with cgroup version 2
  vm test                      run the runtime's control-group tests and a whole stack in the guest
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (chore, rest) = arguments.split_first().map_or(("", &[][..]), |(chore, rest)| (chore.as_str(), rest));
    let result = match chore {
        "test" => test::run(rest),
        "check" => check::check(),
        "audit" => check::audit(),
        "graph" => graph::print(rest),
        "circles" => circles::print(rest),
        "bench" => bench::run(rest),
        "release" => release::run(),
        "vm" => vm::run(rest),
        "" | "help" | "--help" | "-h" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprint!("there is no chore {other:?}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask {chore}: {failure}");
            ExitCode::FAILURE
        }
    }
}
