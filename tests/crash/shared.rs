//! A network namespace that two share: it goes with the one that made it, and the other one follows to the next.

use hoist_tests::command::{Signal, wait_for_outcome};
use hoist_tests::{Host, SOON, Stack, eventually};

fn pid(stack: &Stack<'_>, service: &str) -> Option<i64> {
    let id = stack.ps().into_iter().find(|row| row.service == service)?.id;
    stack.pids().into_iter().find(|(uid, _)| uid.starts_with(&id)).map(|(_, pid)| pid)
}

fn namespace(host: &Host, pid: i64) -> String {
    host.shell(&format!("readlink /proc/{pid}/ns/net")).stdout
}

#[track_caller]
fn assert_answers_together(host: &Host, stack: &Stack<'_>) {
    let ask = || host.get_from_outside(8096, "/");
    wait_for_outcome("the one behind answers through the other", SOON, ask, |answer| answer.code == 0);
    eventually("both are in one namespace", SOON, || {
        let both =
            [pid(stack, "tunnel"), pid(stack, "behind")].map(|pid| pid.map(|pid| namespace(host, pid)));
        both[0].as_ref().is_some_and(|one| !one.is_empty()) && both[0] == both[1]
    });
}

#[test]
fn who_shares_a_network_follows_it_through_crash_restart_and_replacement() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("crash/shared.yaml");
    stack.up(&[]).ok();
    assert_answers_together(&host, &stack);
    for _ in 0..2 {
        let tunnel = pid(&stack, "tunnel").expect("it runs");
        host.kill(tunnel, Signal::KILL);
        eventually("it is back", SOON, || pid(&stack, "tunnel").is_some_and(|now| now != tunnel));
        assert_answers_together(&host, &stack);
    }
    stack.hoist(&["restart", "tunnel"]).ok();
    assert_answers_together(&host, &stack);
    let replaced = stack.with("TUNNEL", "other");
    let before = stack.instance("tunnel").id;
    replaced.up(&[]).ok();
    assert_ne!(stack.instance("tunnel").id, before);
    assert_answers_together(&host, &stack);
    // The other way round nothing happens to the one whose network it is.
    let tunnel = pid(&stack, "tunnel");
    let behind = pid(&stack, "behind").expect("it runs");
    host.kill(behind, Signal::KILL);
    eventually("it is back", SOON, || pid(&stack, "behind").is_some_and(|now| now != behind));
    assert_answers_together(&host, &stack);
    assert_eq!(pid(&stack, "tunnel"), tunnel);
    stack.down().ok();
}
