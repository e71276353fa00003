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

#[test]
fn piped_lines_are_the_bytes_that_were_written() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/ends.yaml");
    stack.up(&["bytes"]).ok();
    eventually("it has ended", SOON, || stack.instance("bytes").state == "exited");
    let hex = |words: &[&str]| {
        let dump = super::streams::in_a_pipe(&host, &stack.command(words), "od -An -v -tx1").success();
        dump.stdout.split_whitespace().collect::<String>()
    };
    let written: String =
        b"caf\xe9 \r\0 \x1b[31mred\x1b[0m\nunfinished".iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex(&["logs", "--no-log-prefix", "bytes"]), written);
    assert_eq!(hex(&["--ansi", "never", "logs", "--no-log-prefix", "bytes"]), written);
    let prefixed = stack.hoist(&["logs", "--no-color", "bytes"]).success();
    assert!(prefixed.stdout.ends_with("bytes-1  | unfinished\n"), "{prefixed}");
    stack.down().ok();
}

#[test]
fn a_follower_ends_with_its_reader_though_nothing_is_written() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let ended = super::streams::in_a_pipe(&host, &stack.command(&["logs", "-f", "talker"]), "head -1");
    assert_eq!((ended.code, ended.stdout.lines().count()), (141, 1), "{ended}");
    stack.down().ok();
}
