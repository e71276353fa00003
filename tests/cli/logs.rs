//! `hoist logs`.

use hoist_tests::{Host, SOON, Stack, eventually};

fn up(host: &Host) -> Stack<'_> {
    let stack = host.stack("cli");
    stack.up(&["talker"]).ok();
    eventually("the talker has talked", SOON, || stack.logs("talker").lines().count() == 6);
    stack
}

#[test]
fn all_lines_with_the_instances_name() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let logs = stack.hoist(&["logs", "--no-color"]).success();
    let mut lines: Vec<&str> = logs.stdout.lines().collect();
    lines.sort_unstable();
    let expected = ["line 1", "line 2", "line 3", "line 4", "line 5", "to stderr"];
    assert_eq!(lines, expected.map(|line| format!("talker-1  | {line}")));
    stack.down().ok();
}

#[test]
fn the_last_lines_with_their_times() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let tail = stack.hoist(&["logs", "-n", "1", "-t", "--no-log-prefix", "talker"]).success();
    let (time, _line) = tail.text().split_once(' ').unwrap_or_else(|| panic!("{tail}"));
    let digits = time.bytes().filter(u8::is_ascii_digit).count();
    let year = host.run("date", &["-u", "+%Y-%m-%dT"]).success();
    assert!(time.starts_with(year.text()) && time.ends_with('Z') && digits >= 14, "RFC 3339 in UTC: {time}");
    let none = stack.hoist(&["logs", "--tail", "0"]).success();
    assert_eq!(none.stdout, "");
    stack.down().ok();
}

#[test]
fn followed_lines_come_as_they_are_written_until_ctrl_c() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let follower = stack.start(&["logs", "-f", "--tail", "0", "--no-log-prefix", "talker"]);
    let go = || {
        // A line written before the follower is there is not shown: so until one is.
        stack.hoist(&["exec", "-T", "talker", "touch", "/tmp/go"]).ok();
        follower.stdout().contains("again\n")
    };
    eventually("a line is followed", SOON, go);
    follower.signal(hoist_tests::command::Signal::INT);
    let ended = follower.finish(SOON);
    assert_eq!(ended.code, 130, "{ended}");
    assert!(ended.stdout.lines().all(|line| line == "again"), "{ended}");
    stack.down().ok();
}

#[test]
fn following_ends_when_the_stack_is_gone() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let follower = stack.start(&["logs", "-f", "talker"]);
    follower.wait_for_output("line 5", SOON);
    stack.down().ok();
    follower.finish(SOON).ok();
}

#[test]
fn a_stack_that_is_not_up_has_no_logs() {
    let Some(host) = Host::new() else { return };
    let refused = host.stack("cli").hoist(&["logs"]).ended_with(1);
    assert!(refused.stderr.contains("stack cli is not up"), "{refused}");
}
