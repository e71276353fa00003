//! What must be true in the end.

use std::collections::BTreeMap;
use std::fs;

use hoist_tests::{Host, Stack};

use crate::fire::first_processes;

/// What may not be left of.
pub(crate) const KINDS: [&str; 7] =
    ["process", "control group", "mount", "network namespace", "link", "socket", "firewall"];

/// Every container's first process is the one that is known, and has its interface.
#[track_caller]
pub(crate) fn assert_each_runs_once_with_its_network(host: &Host, stack: &Stack<'_>) {
    let mut known: Vec<i64> = stack.pids().into_values().collect();
    let mut found = first_processes(host);
    known.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, known, "what runs is what is known to run");
    for pid in known {
        let links = host.run("nsenter", &["-t", &pid.to_string(), "-n", "ip", "-br", "address"]);
        assert!(links.stdout.contains("eth0"), "process {pid} has no network: {links}");
    }
}

/// Each run's lines are 1, 2, 3 … up to what the program says it wrote. Returns how many lines there were.
#[track_caller]
pub(crate) fn assert_complete(stack: &Stack<'_>) -> usize {
    let counts = stack.root().join("volumes/chaos_counts/_data");
    let mut total = 0;
    for row in stack.ps().iter().filter(|row| row.service == "lines") {
        let index = row.name.rsplit('-').next().expect("a name has a number");
        let log = stack.hoist(&["logs", "--no-log-prefix", "--index", index, "lines"]).success();
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        for line in log.stdout.lines() {
            let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
            let [run, number] = numbers[..] else { panic!("{}: line {line:?}", row.name) };
            let last = seen.entry(run).or_default();
            assert_eq!(number, *last + 1, "{}: run {run}", row.name);
            *last = number;
            total += 1;
        }
        let mut run = 1;
        while let Ok(text) = fs::read_to_string(counts.join(format!("{}.{run}", row.id))) {
            let wrote: u64 = text.trim().parse().unwrap_or(0);
            let read = seen.remove(&run).unwrap_or(0);
            assert!(
                read == wrote || read == wrote + 1,
                "{}: run {run} wrote {wrote}, its log has {read}",
                row.name
            );
            run += 1;
        }
        assert!(run > 1 && seen.is_empty(), "{}: runs that never were: {seen:?}", row.name);
    }
    total
}
