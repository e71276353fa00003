//! Building a Dockerfile of thirty steps again when nothing has changed, beside docker, buildah and podman on the same
//! files in the same run: whole commands.
//!
//! All happens in namespaces and a folder of its own. What is not installed is skipped by name. The budget: 100 ms.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../../../image/benches/images/contain.rs"]
mod contain;
mod context;
mod tools;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tools::Tool;

const ROUNDS: usize = 5;

fn main() -> ExitCode {
    // `cargo bench` says so; a test runner that tries every target doesn't.
    if !std::env::args().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() || !std::path::Path::new(context::BUSYBOX).exists() {
        println!("skipped, because it needs root and busybox-static: a build without changes");
        return ExitCode::SUCCESS;
    }
    let Some(folder) = contain::folder() else { return contain::again() };
    let context = context::make(&folder.join("context"));
    let tools: Vec<Tool> = tools::all(&folder, &context).into_iter().filter_map(prepared).collect();
    let mut times = vec![Vec::new(); tools.len()];
    for _ in 0..ROUNDS {
        for (tool, times) in tools.iter().zip(&mut times) {
            times.extend((0..tool.runs).map(|_| timed(tool)));
        }
    }
    print(&tools, times);
    ExitCode::SUCCESS
}

/// Builds for the first time.
fn prepared(tool: Result<Tool, String>) -> Option<Tool> {
    match tool.and_then(|tool| tool.build().map(|()| tool)) {
        Ok(tool) => Some(tool),
        Err(why) => {
            println!("skipped, because {why}");
            None
        }
    }
}

fn timed(tool: &Tool) -> Duration {
    let began = Instant::now();
    tool.build().unwrap();
    began.elapsed()
}

fn print(tools: &[Tool], times: Vec<Vec<Duration>>) {
    let (steps, files) = (context::STEPS, context::FILES);
    println!("\nA Dockerfile of {steps} steps and a context of {files} files, built again without a change.");
    println!("Medians of {ROUNDS} rounds, taken in turns.\n");
    println!("| | build, nothing to do | / hoist |\n|---|---|---|");
    let mut ours = None;
    for (tool, mut times) in tools.iter().zip(times) {
        times.sort();
        let time = times[times.len() / 2].as_secs_f64();
        let ratio = time / *ours.get_or_insert(time);
        println!("| {} | {:.0} ms | {ratio:.1} |", tool.name, time * 1000.0);
    }
}
