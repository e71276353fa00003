//! `up`, no-op `up` and `down` of whole stacks, beside docker-compose on the same machine in the same run.
//!
//! Each round does the same with both, one after the other, in a network namespace of its own; the table shows medians
//! and the ratio. Docker is skipped by name where its daemon can't run.

mod docker;
mod place;
mod table;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use docker::Docker;
use place::Place;
use table::{Row, print};

const ROUNDS: usize = 3;
const SIZES: [usize; 2] = [20, 100];

/// Times of one round, in the order of [`STEPS`].
type Round = [Duration; 3];
const STEPS: [&str; 3] = ["up", "up, nothing to do", "down"];

fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped, because starting containers needs root");
        return;
    }
    let place = Place::new();
    let docker = match Docker::start(&place) {
        Ok(docker) => Some(docker),
        Err(why) => {
            println!("docker-compose: skipped, because {why}");
            None
        }
    };
    let mut rows = Vec::new();
    for size in SIZES {
        let file = place.stack(size);
        let mut hoist = Vec::new();
        let mut compose = Vec::new();
        for _ in 0..ROUNDS {
            hoist.push(round(|words| place.hoist(&file, words)));
            if let Some(docker) = &docker {
                compose.push(round(|words| docker.compose(&file, words)));
            }
        }
        for (step, name) in STEPS.iter().enumerate() {
            rows.push(Row {
                what: format!("{size} services, {name}"),
                hoist: median(&hoist, step),
                peer: (!compose.is_empty()).then(|| median(&compose, step)),
            });
        }
    }
    print(&rows, ROUNDS);
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
