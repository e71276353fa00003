//! `up` with its options, `stop`, `start`, `restart`, `down`.

use hoist_tests::{Host, SOON, Stack, eventually};

fn states(stack: &Stack<'_>) -> Vec<(String, String)> {
    stack.ps().into_iter().map(|row| (row.name, row.state)).collect()
}

fn names(stack: &Stack<'_>) -> Vec<String> {
    stack.ps().into_iter().map(|row| row.name).collect()
}

#[test]
fn only_the_named_services_and_what_they_need() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/gates.yaml");
    stack.up(&["store"]).ok();
    assert_eq!(names(&stack), ["gates-early-1", "gates-store-1"]);
    stack.down().ok();
    stack.up(&["--no-deps", "store"]).ok();
    assert_eq!(names(&stack), ["gates-store-1"]);
    stack.down().ok();
}

#[test]
fn stop_start_restart() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    stack.up(&[]).ok();
    let before = stack.instance("web").id;
    let pids = stack.pids();
    stack.hoist(&["stop", "web"]).ok();
    let web = stack.instance("web");
    assert_eq!((web.state.as_str(), web.exit_code), ("exited", 0), "it ends at its stop signal: {web:?}");
    let listed = stack.hoist(&["ps", "--services"]).success();
    assert!(!listed.stdout.contains("web"), "without -a what is stopped isn't listed: {listed}");
    stack.hoist(&["start", "web"]).ok();
    assert_eq!(stack.instance("web").state, "running");
    assert_eq!(stack.instance("web").id, before, "started, not replaced");
    assert!(host.answer_from_outside(8096).starts_with("web"));
    stack.hoist(&["restart", "both"]).ok();
    let changed = stack.pids().into_iter().filter(|(id, pid)| pids.get(id) != Some(pid)).count();
    assert_eq!(changed, 2, "web and both have other processes, nobody else");
    stack.down().ok();
}

#[test]
fn scale_lasts_until_the_next_up() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    stack.up(&["--scale", "both=3", "both"]).ok();
    assert_eq!(names(&stack), ["cli-both-1", "cli-both-2", "cli-both-3"]);
    let first = stack.ps()[0].id.clone();
    stack.up(&["both"]).ok();
    eventually("the others have drained and gone", SOON, || names(&stack) == ["cli-both-1"]);
    assert_eq!(stack.ps()[0].id, first, "the first one stays");
    let _usage = stack.hoist(&["up", "-d", "--scale", "both=many"]).ended_with(2);
    stack.down().ok();
}

#[test]
fn a_service_that_left_the_file_stays_until_orphans_are_removed() {
    let Some(host) = Host::new() else { return };
    host.stack("cli").up(&[]).ok();
    let stack = host.stack("cli/without-web.yaml");
    let second = stack.up(&[]);
    assert!(
        second.stderr.contains("web") && second.stderr.contains("--remove-orphans"),
        "it says so: {second}"
    );
    assert_eq!(stack.ps().len(), 4);
    assert!(host.answer_from_outside(8096).starts_with("web"));
    stack.up(&["--remove-orphans"]).ok();
    eventually("the orphan is gone", SOON, || names(&stack) == ["cli-both-1", "cli-store-1", "cli-talker-1"]);
    stack.down().ok();
}

#[test]
fn recreation_on_demand_and_instances_without_a_start() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    stack.up(&["--no-start", "both"]).ok();
    assert_eq!(states(&stack), [("cli-both-1".to_owned(), "created".to_owned())]);
    stack.up(&["both"]).ok();
    let before = stack.instance("both");
    assert_eq!(before.state, "running");
    stack.up(&["--force-recreate", "both"]).ok();
    assert_ne!(stack.instance("both").id, before.id);
    stack.down().ok();
}

#[test]
fn down_keeps_volumes_unless_told() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    let read = || stack.hoist(&["exec", "-T", "store", "cat", "/data/kept"]);
    stack.up(&["store"]).ok();
    stack.hoist(&["exec", "-T", "store", "sh", "-c", "echo kept > /data/kept"]).ok();
    stack.hoist(&["down"]).ok();
    assert_eq!(stack.ps(), []);
    stack.up(&["store"]).ok();
    assert_eq!(read().success().text(), "kept");
    stack.down().ok();
    stack.up(&["store"]).ok();
    assert_ne!(read().code, 0);
    stack.down().ok();
    let again = stack.down();
    assert!(again.stderr.contains("nothing to do"), "{again}");
}

#[test]
fn a_command_per_shell_at_once_starts_one_agent() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    let all: Vec<_> = (0..8).map(|_| stack.start(&["up", "-d", "both"])).collect();
    let codes: Vec<i32> = all.into_iter().map(|up| up.finish(hoist_tests::LATER).code).collect();
    assert!(codes.contains(&0), "{codes:?}");
    let listing = stack.listing();
    let agents = listing.kind("process").iter().filter(|line| line.contains("hoist agent")).count();
    assert_eq!(agents, 1, "{listing:?}");
    assert_eq!(names(&stack), ["cli-both-1"]);
    stack.down().ok();
}
