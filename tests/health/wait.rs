//! What `up --wait` says of what dies at once, and that it says so again.

use hoist_tests::Host;

#[test]
fn what_dies_at_once_fails_with_its_status_and_its_last_words() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("health/wait.yaml");
    for (service, status, words) in [
        ("once", "exited with code 3", "cannot open config"),
        ("crash", "exited with code 4 and is restarting", "no port"),
    ] {
        for round in 0..2 {
            let up = stack.hoist(&["up", "--wait", service]).ended_with(1);
            let error = format!("container wait-{service}-1 {status}");
            assert!(up.stderr.contains(&error) && up.stderr.contains(words), "round {round}: {up}");
        }
        stack.down().ok();
    }
}

#[test]
fn starting_it_again_says_the_same() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("health/wait.yaml");
    stack.up(&["once"]).ok();
    let start = stack.hoist(&["start", "--wait", "once"]).ended_with(1);
    let said = ["container wait-once-1 exited with code 3", "once-1 said last:", "cannot open config"];
    assert!(said.iter().all(|words| start.stderr.contains(words)), "{start}");
    stack.down().ok();
}

#[test]
fn what_was_started_just_before_is_seen_to_stay_up_too() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("health/wait.yaml");
    stack.up(&["once"]).ok();
    let up = stack.hoist(&["up", "--wait", "once"]).ended_with(1);
    assert!(up.stderr.contains("exited with code 3"), "{up}");
    stack.down().ok();
}

#[test]
fn what_stays_up_or_is_done_is_well() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("health/wait.yaml");
    stack.up(&["--wait", "done", "stays"]).ok();
    assert_eq!(
        (stack.instance("done").state, stack.instance("stays").state),
        ("exited".into(), "running".into())
    );
    stack.down().ok();
}

#[test]
fn a_limit_that_runs_out_tells_why_checks_fail() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("health/wait.yaml");
    let up = stack.hoist(&["up", "--wait", "--wait-timeout", "2", "slow"]).ended_with(1);
    assert!(up.stderr.contains("within 2 s") && up.stderr.contains("ends with 1: warming up"), "{up}");
    stack.hoist(&["stop"]).ok();
    let start = stack.hoist(&["start", "--wait", "--wait-timeout", "2", "slow"]).ended_with(1);
    assert!(start.stderr.contains("within 2 s") && start.stderr.contains("warming up"), "{start}");
    stack.down().ok();
}
