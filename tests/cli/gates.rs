//! `depends_on`: order, conditions, and what happens when one can't be met.

use std::time::Duration;

use hoist_tests::{Host, SOON, Stack, eventually};

fn order(stack: &Stack<'_>) -> String {
    let said = stack.hoist(&["exec", "-T", "early", "cat", "/order/order"]).success();
    said.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_waits_for_what_it_depends_on() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/gates.yaml");
    // Where a line is printed for what each comes to, a wait is worth one when it is long: here it is not.
    let (up, terminal) = host.start_on_terminal(stack.command(&["up", "-d", "--wait"]));
    eventually("it says why it waits", SOON, || {
        terminal.screen().contains("waiting for store to be healthy")
    });
    up.finish(SOON).ok();
    assert_eq!(order(&stack), "early store migration app");
    assert_eq!(stack.instance("migration").state, "exited");
    assert_eq!(stack.instance("store").health, "healthy");
    stack.down().ok();
}

#[test]
fn a_dependency_that_fails_keeps_its_dependents_down() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/gates.yaml").with("MIGRATION", "3");
    let failed = stack.hoist(&["up", "-d"]).ended_with(1);
    assert!(failed.stderr.contains("migration"), "{failed}");
    assert_eq!(order(&stack), "early store migration");
    assert_ne!(stack.instance("app").state, "running");
    // What was wrong is put right: the rest comes up, and what runs isn't touched.
    let store = stack.instance("store").id;
    stack.with("MIGRATION", "0").up(&[]).ok();
    assert_eq!(stack.instance("app").state, "running");
    assert_eq!(stack.instance("store").id, store);
    stack.down().ok();
}

#[test]
fn a_dependency_that_gets_unhealthy_fails_the_up() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/gates.yaml").with("CHECK", "false");
    let failed = stack.hoist(&["up", "-d"]).ended_with(1);
    assert!(failed.stderr.contains("store") && failed.stderr.contains("unhealthy"), "{failed}");
    assert_eq!(order(&stack), "early store");
    stack.down().ok();
}

#[test]
fn waiting_has_a_limit() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/gates.yaml").with("CHECK", "sleep");
    let failed = stack.hoist(&["up", "--wait", "--wait-timeout", "1"]).ended_with(1);
    assert!(failed.took < Duration::from_secs(10) && failed.stderr.contains("within 1 s"), "{failed}");
    stack.down().ok();
}
