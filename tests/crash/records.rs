//! Records that are lost or can't be read, interfaces that are taken away: whatever runs keeps its network and somebody
//! who looks after it, or is replaced; nothing runs on unseen.

use std::fs;
use std::path::PathBuf;

use hoist_tests::command::Signal;
use hoist_tests::{Host, SOON, Stack, eventually};

/// The only instance of `web`'s sibling: its id, and its first process.
fn asker(stack: &Stack<'_>) -> (String, i64) {
    let id = stack.instance("asker").id;
    let pids = stack.pids();
    let found = pids.iter().find(|(uid, _)| uid.starts_with(&id)).expect("it runs");
    (found.0.clone(), *found.1)
}

fn record(stack: &Stack<'_>, uid: &str) -> PathBuf {
    stack.root().join("keeper/instances").join(uid).join("instance.json")
}

fn runs(host: &Host, pid: i64) -> bool {
    host.shell(&format!("grep -q '^State:.[^Z]' /proc/{pid}/status")).code == 0
}

/// It has its interface, and whoever ends it is noticed.
fn assert_looked_after(host: &Host, stack: &Stack<'_>, uid: &str) {
    let links = || stack.hoist(&["exec", "-T", "asker", "ls", "/sys/class/net"]);
    hoist_tests::command::wait_for_outcome("it has its interface", SOON, links, |links| {
        links.stdout.contains("eth0")
    });
    let before = stack.pids()[uid];
    host.kill(before, Signal::KILL);
    eventually("its end is noticed and it starts again", SOON, || {
        stack.pids().get(uid).is_some_and(|pid| *pid != before)
    });
}

#[test]
fn a_lost_record_loses_nothing() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("crash/records.yaml");
    let before = stack.listing();
    stack.up(&[]).ok();
    for damage in ["empty", "torn", "gone", "all gone"] {
        let (uid, pid) = asker(&stack);
        stack.kill_daemons();
        let file = record(&stack, &uid);
        match damage {
            "empty" => fs::write(file, ""),
            "torn" => fs::write(&file, &fs::read(&file).unwrap()[..20]),
            "gone" => fs::remove_file(file),
            _ => fs::remove_dir_all(stack.root().join("keeper/instances")),
        }
        .unwrap();
        assert_eq!(asker(&stack), (uid.clone(), pid), "{damage}: it runs on, and is known");
        assert!(runs(&host, pid), "{damage}");
        let logged = |stack: &Stack<'_>| stack.logs("asker").lines().count();
        let lines = logged(&stack);
        eventually("its output is read", SOON, || logged(&stack) > lines);
        assert_looked_after(&host, &stack, &uid);
    }
    stack.down().ok();
    assert_no_group(&stack, &before);
}

/// Neither the keeper nor the journal knows what runs: it is ended, and started again as the file says.
#[test]
fn what_nobody_can_account_for_is_replaced() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("crash/records.yaml");
    let before = stack.listing();
    stack.up(&[]).ok();
    let (uid, pid) = asker(&stack);
    stack.kill_daemons();
    fs::remove_dir_all(stack.root().join("keeper/instances")).unwrap();
    fs::remove_file(stack.root().join("journal.json")).unwrap();
    stack.up(&[]).ok();
    eventually("another runs", SOON, || stack.pids().values().any(|other| *other != pid));
    assert!(!runs(&host, pid), "what ran before was ended");
    assert_looked_after(&host, &stack, &uid);
    stack.down().ok();
    assert_no_group(&stack, &before);
}

#[test]
fn stopping_the_agent_leaves_nothing_that_it_can_not_account_for() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("crash/records.yaml");
    let before = stack.listing();
    stack.up(&[]).ok();
    let (_, pid) = asker(&stack);
    stack.kill_daemons();
    fs::remove_dir_all(stack.root().join("keeper/instances")).unwrap();
    fs::remove_file(stack.root().join("journal.json")).unwrap();
    fs::remove_file(stack.root().join("ledger.json")).unwrap();
    let _ = stack.ps();
    // The next agent may already have started the instance anew; then it says so, and goes on looking after it.
    let stopped = host.hoist(&["agent", "stop"]);
    if stopped.code != 0 {
        assert!(stopped.stderr.contains("1 instance is running"), "{stopped}");
        let (uid, _) = asker(&stack);
        assert_looked_after(&host, &stack, &uid);
        host.hoist(&["agent", "stop", "--force"]).ok();
    }
    assert!(!runs(&host, pid));
    assert_no_group(&stack, &before);
}

#[test]
fn an_interface_that_is_taken_away_comes_back() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("crash/records.yaml");
    stack.up(&[]).ok();
    let (uid, pid) = asker(&stack);
    let netns = stack.root().join("fabric/netns");
    let remove = format!("nsenter --net={} ip link delete {}.0", netns.display(), &uid[..12]);
    host.shell(&remove).ok();
    let links = || stack.hoist(&["exec", "-T", "asker", "ls", "/sys/class/net"]);
    hoist_tests::command::wait_for_outcome("it has its interface", SOON, links, |links| {
        links.stdout.contains("eth0")
    });
    assert_eq!(asker(&stack), (uid, pid), "without a restart");
    stack.down().ok();
}

fn assert_no_group(stack: &Stack<'_>, before: &hoist_tests::Listing) {
    eventually("no control group and no process is left", SOON, || {
        let now = stack.listing();
        ["control group", "process", "link"].iter().all(|kind| now.kind(kind) == before.kind(kind))
    });
}
