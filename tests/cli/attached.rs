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
fn a_code_from_nobody_is_refused_before_anything_starts() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/attached.yaml");
    for (words, why) in [
        (&["up", "--exit-code-from", "nosuch"][..], "no service nosuch"),
        (&["up", "--exit-code-from", "two", "one"][..], "doesn't start two"),
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
