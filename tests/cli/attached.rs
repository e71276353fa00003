//! `hoist up` without `-d`: it shows what services say until Ctrl-C, or until all have ended.

use hoist_tests::command::Signal;
use hoist_tests::{Host, SOON, eventually};

#[test]
fn ctrl_c_stops_what_it_shows() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/attached.yaml");
    let up = stack.start(&["up", "--no-color"]);
    up.wait_for_output("hello from one", SOON);
    up.wait_for_output("hello from two", SOON);
    assert!(up.stdout().contains("one-1    | hello from one"), "{}", up.stdout());
    up.signal(Signal::INT);
    let ended = up.finish(SOON).ended_with(130);
    assert!(ended.stdout.contains("bye"), "what is said while stopping is shown too: {ended}");
    let rows = stack.ps();
    assert!(rows.len() == 3 && rows.iter().all(|row| row.state == "exited"), "{rows:?}");
    stack.up(&[]).ok();
    eventually("it can be brought up again", SOON, || stack.instance("one").state == "running");
    stack.down().ok();
}

#[test]
fn killed_it_leaves_the_stack_running() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/attached.yaml");
    let up = stack.start(&["up"]);
    up.wait_for_output("hello from one", SOON);
    up.signal(Signal::KILL);
    let _killed = up.finish(SOON).ended_with(137);
    assert_eq!(stack.instance("one").state, "running");
    stack.down().ok();
}

#[test]
fn it_ends_when_all_have_ended() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/attached.yaml");
    let up = stack.hoist(&["up", "brief"]).ended_with(0);
    assert!(up.stdout.contains("short"), "{up}");
    stack.down().ok();
}

#[test]
fn one_exit_may_decide() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/attached.yaml").with("STATUS", "5");
    let up = stack.hoist(&["up", "--no-color", "--exit-code-from", "brief"]).ended_with(5);
    for line in ["one-1    | hello from one", "one-1    | bye", "brief-1  | short"] {
        assert!(up.stdout.contains(line), "{line:?} is missing: {up}");
    }
    let rows = stack.ps();
    assert!(rows.iter().all(|row| row.state == "exited"), "all were stopped: {rows:?}");
    stack.down().ok();
}

#[test]
fn the_code_is_the_chosen_services_own_though_another_ends_first() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/attached.yaml").with("STATUS", "7");
    let _up = stack.hoist(&["up", "--exit-code-from", "stubborn", "stubborn", "brief"]).ended_with(9);
    assert_eq!((stack.instance("stubborn").exit_code, stack.instance("brief").exit_code), (9, 7));
    stack.down().ok();
}

#[test]
fn the_first_end_decides_when_nobody_is_chosen() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/attached.yaml");
    let _up = stack.hoist(&["up", "--abort-on-container-exit", "stubborn", "weary"]).ended_with(7);
    assert_eq!(stack.instance("stubborn").exit_code, 9);
    stack.down().ok();
}

#[test]
fn a_code_from_nobody_is_refused_before_anything_starts() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/attached.yaml");
    for (words, why) in [
        (&["up", "--exit-code-from", "nosuch"][..], "no service nosuch"),
        (&["up", "--exit-code-from", "two", "one"][..], "doesn't start two"),
        (&["up", "--exit-code-from", "two", "--scale", "two=0"][..], "two is to have no instances"),
        (&["up", "--exit-code-from", "stubborn"][..], "profiles that are off"),
        (&["up", "-d", "--exit-code-from", "two"][..], "cannot be used with"),
    ] {
        let refused = stack.hoist(words).ended_with(2);
        assert!(refused.stderr.contains(why), "{refused}");
    }
    assert!(stack.ps().is_empty(), "nothing was started");
}

#[test]
fn on_a_terminal_progress_is_drawn() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/attached.yaml");
    let (up, terminal) = host.start_on_terminal(stack.command(&["up", "-d"]));
    up.finish(SOON).ok();
    let screen = terminal.screen();
    assert!(screen.contains("[+] up") && screen.contains("one-1"), "{screen}");
    stack.down().ok();
}

#[test]
fn it_tells_who_ended_and_how_and_that_it_restarts() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/ends.yaml");
    let up = stack.hoist(&["up", "--no-color"]).ended_with(0);
    let told: Vec<&str> = up.stderr.lines().collect();
    for line in [
        "three-1 exited with code 3",
        "twice-1 exited with code 4 (restarting)",
        "twice-1 started again",
        "twice-1 exited with code 4",
        "killed-1 exited with code 137",
    ] {
        let whole = |told: &&&str| **told == line || told.starts_with(&format!("{line} (killed"));
        assert_eq!(told.iter().filter(whole).count(), 1, "{line}: {up}");
    }
    let mut lines: Vec<&str> = up.stdout.lines().collect();
    lines.sort_unstable();
    let lines: Vec<String> =
        lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let whole = ["three-1 | last words", "twice-1 | unfinished", "twice-1 | unfinished"];
    assert_eq!(lines, whole, "an unfinished line is a line: {up}");
    stack.down().ok();
}

#[test]
fn lines_are_shown_while_it_stops() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/ends.yaml");
    let up = stack.start(&["up", "--no-color", "wordy"]);
    up.wait_for_output("line 5", SOON);
    up.signal(Signal::INT);
    up.wait_for_output("stopping", SOON);
    stack.hoist(&["exec", "-T", "wordy", "touch", "/tmp/go"]).ok();
    let ended = up.finish(SOON).ended_with(130);
    assert!(ended.stdout.ends_with("bye\n"), "{ended}");
    assert!(ended.stderr.contains("wordy-1 exited with code 3\n"), "{ended}");
    stack.down().ok();
}

#[test]
fn followers_see_all_lines_of_all_runs_once() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/ends.yaml");
    let up = stack.start(&["up", "--no-color", "--no-log-prefix", "wordy", "steady"]);
    up.wait_for_output("line 5", SOON);
    let follower = stack.start(&["logs", "-f", "--no-log-prefix", "wordy"]);
    for _ in 0..4 {
        stack.hoist(&["exec", "-T", "wordy", "touch", "/tmp/go"]).ok();
        stack.hoist(&["stop", "wordy"]).ok();
        stack.hoist(&["start", "wordy"]).ok();
    }
    let lines = || stack.logs("wordy");
    eventually("the last run has written", SOON, || lines().matches("line 5\n").count() == 5);
    let all = lines();
    eventually("attached up and follower have seen as much", SOON, || {
        up.stdout().len() >= all.len() && follower.stdout().len() >= all.len()
    });
    assert_eq!((up.stdout(), follower.stdout()), (all.clone(), all));
    assert_eq!(up.stderr().matches("wordy-1 exited with code 3").count(), 4, "{}", up.stderr());
    stack.down().ok();
    follower.finish(SOON).ok();
    up.finish(SOON).ok();
}
