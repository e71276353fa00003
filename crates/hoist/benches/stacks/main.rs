//! `up`, no-op `up` and `down` of whole stacks, beside docker-compose on the same machine in the same run, and beside the
//! system calls alone.
//!
//! Each round does the same with all of them, one after the other; the table shows medians and ratios. Everything happens
//! in namespaces of its own and is ended with them. Docker is skipped by name where its daemon can't run.

#[path = "../../../image/benches/images/contain.rs"]
mod contain;
mod docker;
mod floor;
mod place;
mod table;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use docker::Docker;
use floor::Floor;
use place::Place;
use table::{Row, print};

const ROUNDS: usize = 5;
const SIZES: [usize; 2] = [20, 100];

/// Times of one round, in the order of [`STEPS`].
type Round = [Duration; 3];
const STEPS: [&str; 3] = ["up", "up, nothing to do", "down"];

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
        Some(folder) => run(&Place::new(folder)),
        None => contain::again(),
    }
}

fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root");
    }
    (!busybox().exists()).then_some("busybox-static is not installed")
}

fn run(place: &Place) -> ExitCode {
    let docker = match Docker::start(place) {
        Ok(docker) => Some(docker),
        Err(why) => {
            println!("docker-compose: skipped, because {why}");
            None
        }
    };
    let mut rows = Vec::new();
    for size in SIZES {
        rows.extend(measure(place, docker.as_ref(), size));
    }
    print(&rows, ROUNDS);
    ExitCode::SUCCESS
}

fn measure(place: &Place, docker: Option<&Docker<'_>>, size: usize) -> Vec<Row> {
    let file = place.stack(size);
    let (mut floors, mut hoist, mut compose) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(Floor::start(place, size).round());
        hoist.push(round(|words| place.hoist(&file, words)));
        compose.extend(docker.map(|docker| round(|words| docker.compose(&file, words))));
    }
    let row = |(step, name): (usize, &&str)| Row {
        what: format!("{size} services, {name}"),
        // Doing nothing takes no system call.
        floor: (step != 1).then(|| median(&floors, step)),
        hoist: median(&hoist, step),
        compose: (!compose.is_empty()).then(|| median(&compose, step)),
    };
    STEPS.iter().enumerate().map(row).collect()
}

fn round(run: impl Fn(&[&str]) -> Command) -> Round {
    [&["up", "-d"][..], &["up", "-d"], &["down", "-t", "1"]].map(|words| timed(run(words)))
}

fn timed(mut command: Command) -> Duration {
    let began = Instant::now();
    let output = command.output().expect("the command can be started");
    let took = began.elapsed();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    took
}

fn median(rounds: &[Round], step: usize) -> Duration {
    let mut times: Vec<Duration> = rounds.iter().map(|round| round[step]).collect();
    times.sort();
    times[times.len() / 2]
}

/// The static program that every instance runs.
fn busybox() -> &'static Path {
    Path::new("/bin/busybox")
}
