//! `up` is idempotent, replaces what changed and nothing else, and roots don't touch each other.

use std::collections::{BTreeMap, BTreeSet};

use hoist_tests::command::wait_for_outcome;
use hoist_tests::{Host, SOON, Stack};

/// The running instances of a service: id and process.
fn instances(stack: &Stack<'_>, service: &str) -> BTreeMap<String, i64> {
    let pids = stack.pids();
    let of_service = stack.ps().into_iter().filter(|row| row.service == service);
    let found = of_service.filter_map(|row| pids.iter().find(|(id, _)| id.starts_with(&row.id)));
    found.map(|(id, pid)| (id.clone(), *pid)).collect()
}

/// What `changed` answers to `dependent`, as soon as it listens.
fn ask_changed(stack: &Stack<'_>) -> String {
    let ask = || stack.hoist(&["exec", "-T", "dependent", "perl", "get.pl", "changed:8000"]);
    wait_for_outcome("an answer within the stack", SOON, ask, |answer| answer.code == 0).stdout
}

#[test]
fn a_second_up_changes_nothing_and_says_so() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("idempotence");
    stack.up(&[]);
    let before = (stack.pids(), stack.listing());
    let second = stack.up(&[]);
    assert!(second.stderr.contains("nothing to do"), "{second}");
    let pids = stack.pids();
    assert_eq!(pids.len(), 4);
    assert_eq!(pids, before.0);
    let processes = |listing: &hoist_tests::Listing| listing.kind("process").clone();
    assert_eq!(processes(&stack.listing()), processes(&before.1));
    assert_eq!(stack.listing().kind("firewall"), before.1.kind("firewall"));
    stack.down();
}

#[test]
fn a_changed_environment_replaces_that_service_only() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("idempotence");
    stack.up(&[]);
    let services = ["changed", "dependent", "front"];
    let before = services.map(|service| instances(&stack, service));
    stack.with("VALUE", "two").up(&[]);
    stack.wait_for_drains();
    let after = services.map(|service| instances(&stack, service));
    assert_eq!(after[0].len(), 2, "{after:?}");
    let ids = |found: &BTreeMap<String, i64>| found.keys().cloned().collect::<BTreeSet<_>>();
    assert!(ids(&after[0]).is_disjoint(&ids(&before[0])), "both replicas are new: {before:?} {after:?}");
    assert_eq!(after[1..], before[1..], "nothing else moved");
    let seen = ask_changed(&stack);
    assert!(seen.starts_with("value two"), "{seen}");
    let names: Vec<String> = stack.ps().into_iter().map(|row| row.name).collect();
    assert_eq!(names.len(), 4, "nothing of the old ones is left: {names:?}");
    stack.down();
}

#[test]
fn the_same_stack_in_two_roots() {
    let Some(host) = Host::new() else { return };
    let one = host.stack("idempotence");
    let other = one.in_root("other").with("PORT", "8091");
    one.up(&[]);
    other.up(&[]);
    for port in [8090, 8091] {
        assert!(host.answer_from_outside(port).starts_with("front"));
    }
    let before = other.pids();
    one.down();
    assert_eq!(other.pids(), before);
    assert!(host.get_from_outside(8091, "/").success().stdout.starts_with("front"));
    let seen = ask_changed(&other);
    assert!(seen.starts_with("value one"), "{seen}");
    let refused = host.get_from_outside(8090, "/");
    assert_ne!(refused.code, 0, "{refused}");
    other.down();
}

#[test]
fn a_port_that_another_root_has_is_a_clear_error() {
    let Some(host) = Host::new() else { return };
    let one = host.stack("idempotence");
    let other = one.in_root("other");
    one.up(&[]);
    assert!(host.answer_from_outside(8090).starts_with("front"));
    let refused = other.hoist(&["up", "-d"]).ended_with(1);
    assert!(refused.stderr.contains("8090"), "{refused}");
    assert!(host.get_from_outside(8090, "/").success().stdout.starts_with("front"));
    other.down();
    one.down();
}
