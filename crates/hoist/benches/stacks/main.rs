//! `up` and `down` of whole stacks, beside docker compose on the same machine in the same run, and beside the system
//! calls alone.
//!
//! Each round does the same with all of them, one after the other; the table shows medians and ratios. Everything happens
//! in namespaces of its own and is ended with them. What can't run is skipped by name.

mod compose;
#[path = "../../../image/benches/images/contain.rs"]
mod contain;
mod daemons;
mod docker;
mod floor;
mod place;
mod rounds;
mod table;

use std::path::Path;
use std::process::ExitCode;

use docker::Docker;
use place::Place;
use rounds::Rounds;

const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says so; a test runner that tries every target doesn't.
    if words.first().is_some_and(|word| word == floor::WORD) {
        return floor::work(&words[1..]);
    }
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    if let Some(why) = missing() {
        println!("skipped, because {why}: stacks");
        return ExitCode::SUCCESS;
    }
    match contain::folder() {
        Some(folder) => run(&Place::new(folder), number(&words)),
        None => contain::again(),
    }
}

fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root");
    }
    (!busybox().exists()).then_some("busybox-static is not installed")
}

/// How many rounds are asked for, by `--rounds N`.
fn number(words: &[String]) -> usize {
    let after = words.iter().skip_while(|word| *word != "--rounds").nth(1);
    after.and_then(|number| number.parse().ok()).filter(|number| *number > 0).unwrap_or(ROUNDS)
}

fn run(place: &Place, number: usize) -> ExitCode {
    let docker = Docker::start(&place.dir, &place.rootfs())
        .inspect_err(|why| println!("docker compose: skipped, because {why}\n"));
    let docker = docker.ok();
    let mut rounds = Rounds::default();
    for round in 0..number {
        eprintln!("round {} of {number}", round + 1);
        rounds.floor(place);
        rounds.hoist(place);
        if let Some(docker) = &docker {
            rounds.compose(place, docker);
        }
    }
    table::print(&rounds, number);
    ExitCode::SUCCESS
}

/// The static program that every instance runs.
fn busybox() -> &'static Path {
    Path::new("/bin/busybox")
}
