//! `hoist config -q` of 1,000 services with five overrides, as a whole process, beside `docker-compose config -q` and
//! `podman-compose config -q` on the same files in the same run: medians of time and peak memory.
//!
//! Tools that can't be had are skipped by name. The budget: 150 ms and 64 MiB.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../../../stackfile/benches/thousand/files.rs"]
mod files;
mod peers;
mod process;

use std::process::Command;
use std::time::Duration;

use peers::Peer;
use process::{Cost, run};

/// Other tools take seconds.
const ROUNDS: usize = 3;
/// Runs of Hoist for one of the others.
const OURS: usize = 5;

fn main() {
    // `cargo bench` says so; a test runner that tries every target doesn't.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = Vec::new();
    for (name, text) in files::files() {
        std::fs::write(folder.path().join(&name), text).unwrap();
        arguments.extend(["-f".to_owned(), name]);
    }
    for service in 0..files::SERVICES {
        std::fs::create_dir_all(folder.path().join(format!("conf/{service}"))).unwrap();
    }
    arguments.extend(["config", "-q"].map(str::to_owned));
    let command = |program: &std::path::Path| {
        let mut command = Command::new(program);
        command.args(&arguments).current_dir(folder.path());
        command
    };
    let hoist = std::path::Path::new(env!("CARGO_BIN_EXE_hoist"));
    let mut ours = Vec::new();
    let mut others: Vec<Other> = peers::find().into_iter().map(Other::new).collect();
    for _ in 0..ROUNDS {
        ours.extend((0..OURS).map(|_| run(command(hoist)).unwrap()));
        others.iter_mut().for_each(|other| other.run(command(&other.peer.program)));
    }
    let (services, overrides) = (files::SERVICES, files::OVERRIDES);
    println!("\n{services} services, {overrides} overrides; {ROUNDS} rounds, taken in turns.\n");
    println!("| | time | peak memory | time / hoist | memory / hoist |\n|---|---|---|---|---|");
    let ours = median(&mut ours).unwrap();
    row("hoist config -q", ours, ours);
    others.into_iter().for_each(|other| other.print(ours));
}

/// Another tool and what it cost so far.
struct Other {
    peer: Peer,
    costs: Vec<Cost>,
    failed: Option<String>,
}

impl Other {
    fn new(peer: Peer) -> Self {
        Self { peer, costs: Vec::new(), failed: None }
    }

    /// Once it has failed, it isn't tried again.
    fn run(&mut self, command: Command) {
        if self.failed.is_none() {
            match run(command) {
                Ok(cost) => self.costs.push(cost),
                Err(why) => self.failed = Some(why),
            }
        }
    }

    fn print(mut self, ours: Cost) {
        let what = format!("{} config -q ({})", self.peer.name, self.peer.version);
        match (self.failed, median(&mut self.costs)) {
            (Some(why), _) => println!("| {what} | {why} | | | |"),
            (None, Some(cost)) => row(&what, cost, ours),
            (None, None) => {}
        }
    }
}

/// Time and memory, each by itself.
fn median(costs: &mut [Cost]) -> Option<Cost> {
    let middle = costs.len() / 2;
    costs.sort_by_key(|cost| cost.peak_kib);
    let peak_kib = costs.get(middle)?.peak_kib;
    costs.sort_by_key(|cost| cost.time);
    Some(Cost { peak_kib, ..costs[middle] })
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 KiB")]
fn row(what: &str, cost: Cost, ours: Cost) {
    let (mib, our_mib) = (cost.peak_kib as f64 / 1024.0, ours.peak_kib as f64 / 1024.0);
    let faster = cost.time.as_secs_f64() / ours.time.as_secs_f64();
    println!("| {what} | {} | {mib:.0} MiB | {faster:.1} | {:.1} |", text(cost.time), mib / our_mib);
}

fn text(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        seconds => format!("{seconds:.2} s"),
    }
}
