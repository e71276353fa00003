//! Loads and checks a stack of 1,000 services with five overrides, in process: median time and peak memory. The bench
//! `config` runs the binary on the same files, beside other tools. The budget: 150 ms and 64 MiB.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod files;

use files::{OVERRIDES, SERVICES, files};
use hoist_stackfile::{LowerOptions, MemoryReader, Source, Sources, load, lower};
use std::time::{Duration, Instant};

const ROUNDS: usize = 11;

fn main() {
    let files = files();
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    let sources = Sources {
        files: files.into_iter().map(|(name, text)| source(&name, text)).collect(),
        project_dir: "/p".to_owned(),
        name_from_folder: true,
        ..Sources::default()
    };
    let reader = MemoryReader::default();
    let mut loads: Vec<Duration> = Vec::new();
    let mut lowerings: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let loaded = load(&sources, &reader).unwrap();
        loads.push(start.elapsed());
        let start = Instant::now();
        let lowered = lower(&loaded.project, &LowerOptions::default(), &reader).unwrap();
        lowerings.push(start.elapsed());
        assert_eq!(lowered.stack.services.len(), SERVICES);
    }
    println!("input         {} KiB in {} files", bytes >> 10, OVERRIDES + 1);
    println!("load          {:.1?} median", median(&mut loads));
    println!("lower         {:.1?} median", median(&mut lowerings));
    println!("peak memory   {} KiB", peak_kib());
}

fn source(name: &str, text: String) -> Source {
    Source { path: format!("/p/{name}"), text: Some(text) }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
