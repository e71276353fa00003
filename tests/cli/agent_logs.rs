//! `hoist agent logs`: what the agent says of its work, by itself and while it goes on.

use std::fs;

use hoist_tests::command::Signal;
use hoist_tests::{Host, SOON, Stack, eventually};

/// A line of the log that holds all of these.
fn told(stack: &Stack<'_>, words: &[&str]) {
    let mut log = String::new();
    let mut has = || {
        log = stack.hoist(&["agent", "logs"]).success().stdout;
        log.lines().any(|line| words.iter().all(|word| line.contains(word)))
    };
    eventually(&format!("the agent's log has a line with {words:?}"), SOON, &mut has);
}

#[test]
fn it_tells_what_happened_and_why() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/events.yaml");
    stack.up(&["web"]).ok();
    let pid = *stack.pids().values().next().unwrap();
    told(&stack, &["spec accepted", "generation=", "instances=1"]);
    told(&stack, &["step begun", "slot=events/web-1", "start 1", "cause="]);
    assert!(!stack.hoist(&["agent", "logs"]).stdout.contains("cause=\"\""), "every step has a cause");
    told(&stack, &["port reserved", "service=web", "port=8097"]);
    told(&stack, &["instance started", "slot=events/web-1", &format!("pid={pid}")]);

    let follower = stack.start(&["agent", "logs", "-f", "-n", "0"]);
    host.kill(pid, Signal::KILL);
    follower.wait_for_output("instance exited", SOON);
    follower.wait_for_output("instance restarted", SOON);
    told(&stack, &["instance exited", "slot=events/web-1", "signal 9"]);
    told(&stack, &["instance restarted", "starts=2"]);

    stack.hoist(&["exec", "-T", "web", "touch", "/tmp/ill"]).ok();
    follower.wait_for_output("instance unhealthy", SOON);
    told(&stack, &["instance unhealthy", "slot=events/web-1", "it is ill"]);

    let _failed = stack.hoist(&["up", "-d", "broken"]);
    told(&stack, &["step failed", "slot=events/broken-1", "/no/such/program"]);

    let refused = stack.hoist(&["agent", "stop"]);
    assert!(!refused.stderr.is_empty(), "instances run: {refused}");
    told(&stack, &["request refused", "path=", "kind=Conflict"]);
    assert!(!follower.stdout().contains("spec accepted generation=0.0.0"), "-n 0 shows nothing of before");
    stack.down().ok();
}

#[test]
fn following_goes_on_in_the_next_file_and_in_the_next_agent() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/events.yaml");
    stack.up(&["web"]).ok();
    let follower = stack.start(&["agent", "logs", "-f"]);
    follower.wait_for_output("instance started", SOON);
    let log = stack.root().join("agent.log");
    // As the agent does when the file is full; that it is, takes megabytes.
    fs::rename(&log, stack.root().join("agent.log.1")).unwrap();
    eventually("the agent begins another file", SOON, || {
        stack.hoist(&["restart", "web"]).ok();
        log.exists()
    });
    let [agent, ..] = stack.daemons();
    host.kill(agent, Signal::KILL);
    follower.wait_for_output("host looked at", SOON);
    eventually("both agents' lines are shown", SOON, || {
        follower.stdout().matches("host looked at").count() >= 2
    });
    let all = stack.hoist(&["agent", "logs"]).success().stdout;
    let starts = |text: &str| text.matches("step begun").count();
    eventually("it has shown every line once", SOON, || starts(&follower.stdout()) == starts(&all));
    let last = stack.hoist(&["agent", "logs", "-n", "3"]).success().stdout;
    assert_eq!(last.lines().count(), 3);
    stack.down().ok();
}

#[test]
fn it_is_there_when_no_agent_runs_and_an_error_where_none_ever_ran() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/events.yaml");
    let nothing = stack.hoist(&["agent", "logs"]).ended_with(1);
    assert!(nothing.stderr.contains("agent's log") && nothing.stderr.contains("--root"), "{nothing}");
    stack.up(&["web"]).ok();
    stack.down().ok();
    let _stopped = stack.hoist(&["agent", "stop", "--force"]);
    assert!(stack.hoist(&["agent", "logs"]).success().stdout.contains("instance removed"));
}
