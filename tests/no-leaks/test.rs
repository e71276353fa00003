//! After `down -v` nothing of a stack is left on the host; what a `down` leaves, a prune takes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use hoist_tests::command::Signal;
use hoist_tests::{Host, Listing, SOON, Stack};

/// What a hoist keeps of itself for the next stack: its records, its logs, its image store.
const KEPT: [&str; 19] = [
    "",
    "agent.lock",
    "agent.log",
    "dns.log",
    "endpoints.json",
    "fabric",
    "fabric/dns.lock",
    "fabric/ranges.json",
    "fabric/zone.json",
    "instances",
    "journal.json",
    "keeper",
    "keeper/instances",
    "keeper/keeper.lock",
    "keeper.log",
    "ledger.json",
    "store.redb",
    "tag.json",
    "volumes",
];

fn is_kept(line: &str, root: &Path) -> bool {
    let path = line.strip_prefix("+ file ").and_then(|file| Path::new(file).strip_prefix(root).ok());
    let is_for_all =
        |path: &Path| ["images", "skeleton", "reserve"].iter().any(|name| path.starts_with(name));
    path.is_some_and(|path| is_for_all(path) || KEPT.iter().any(|kept| Path::new(kept) == path))
}

#[test]
fn nothing_is_left_after_down() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("no-leaks");
    let before = stack.listing();
    stack.up(&["--wait"]);
    stack.hoist(&["exec", "-T", "front", "true"]).ok();
    assert!(host.answer_from_outside(8092).starts_with("hello"));
    assert!(stack.logs("front").contains("listening"));
    let during = stack.listing();
    for kind in ["link", "network namespace", "mount", "control group", "process", "socket", "file"] {
        assert_ne!(during.kind(kind), before.kind(kind), "a stack that runs shows in the list of {kind}");
    }
    stack.down();
    assert_nothing_left(&host, &stack, &before);
}

#[test]
fn nothing_is_left_after_a_replacement_a_crash_and_a_stop() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("no-leaks");
    let before = stack.listing();
    stack.up(&[]);
    stack.up(&["--force-recreate"]);
    stack.hoist(&["restart", "web"]).ok();
    for pid in stack.daemons() {
        host.kill(pid, Signal::KILL);
    }
    stack.hoist(&["stop"]).ok();
    stack.down();
    assert_nothing_left(&host, &stack, &before);
}

#[test]
fn prune_takes_the_volumes_that_no_stack_names_and_says_which() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("no-leaks");
    stack.up(&["--wait"]);
    let data = stack.root().join("volumes/no-leaks_data/_data");
    std::fs::write(data.join("kept"), vec![1; 300_000]).unwrap();
    let prune = |words: &[&str]| stack.hoist(&[&["system", "prune", "-f", "--volumes"], words].concat());
    let named = prune(&["-a"]).success();
    assert!(!named.stdout.contains("volume") && data.exists(), "{named}");
    stack.hoist(&["down"]).ok();
    assert_eq!(prune(&["--filter", "until=1h"]).code, 2, "a volume has no time of last use");
    let anonymous = prune(&[]).success();
    assert!(!anonymous.stdout.contains("Deleted") && data.exists(), "{anonymous}");
    assert!(anonymous.stderr.contains("without -a"), "{anonymous}");
    let all = prune(&["-a"]).success();
    assert!(all.stdout.contains("Deleted volume: no-leaks_data\n"), "{all}");
    assert!(all.stdout.contains("Total reclaimed space: 3"), "{all}");
    assert_eq!(std::fs::read_dir(stack.root().join("volumes")).unwrap().count(), 0);
    assert!(!prune(&["-a"]).success().stdout.contains("Deleted"), "once");
    stack.up(&["--wait"]);
    assert!(data.exists() && !data.join("kept").exists(), "it begins anew");
    stack.down();
}

/// The agent and its company end a moment after the last stack has gone.
fn assert_nothing_left(host: &Host, stack: &Stack<'_>, before: &Listing) {
    let deadline = Instant::now() + SOON;
    loop {
        let changes = stack.listing().changes_since(before);
        let left: Vec<&str> = changes.lines().filter(|line| !is_kept(line, stack.root())).collect();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "left after down -v:\n{}", left.join("\n"));
        std::thread::sleep(Duration::from_millis(50));
    }
    let root = stack.root().display().to_string();
    let named = host.run("grep", &["-rl", "--include=*.json", "no-leaks", &root]);
    assert_eq!(named.stdout, "", "records that still name the stack");
}
