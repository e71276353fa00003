//! Reaching the agent: wherever its root is, and while it is killed and comes back.

use hoist_tests::{Host, Running, SOON, eventually};
use rustix::process::Signal;

#[test]
fn a_root_may_be_deeper_than_a_sockets_address_is_long() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli").in_root(&"deep-".repeat(30));
    stack.up(&["both", "web"]).ok();
    assert_eq!(stack.instance("both").state, "running");
    assert!(stack.hoist(&["exec", "both", "echo", "reached"]).success().stdout.contains("reached"));
    stack.down().ok();
}

#[test]
fn agent_status_is_answered_while_agents_are_killed_and_come_back() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli");
    stack.up(&["both"]).ok();
    for _round in 0..3 {
        let asked: Vec<Running> = (0..60).map(|_| stack.start(&["agent", "status"])).collect();
        let [agent, ..] = stack.daemons();
        host.kill(agent, Signal::KILL);
        for question in asked {
            question.finish(SOON).ok();
        }
        eventually("another agent answers", SOON, || stack.daemons()[0] != agent);
    }
    stack.down().ok();
}
