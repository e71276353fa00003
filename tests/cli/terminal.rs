//! The terminal of a service's first process.

use hoist_tests::command::Signal;
use hoist_tests::{Host, SOON, Stack, eventually};

/// The lines as they were printed, without the carriage returns of a terminal.
fn lines(stack: &Stack<'_>) -> Vec<String> {
    stack.logs("teller").lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn a_service_on_a_terminal_knows_its_name_and_loses_no_line() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("cli/terminal.yaml");
    stack.up(&[]).ok();
    let numbered = || lines(&stack).iter().filter(|line| line.starts_with("line ")).count();
    for index in [1, 0, 1] {
        let before = numbered();
        eventually("it goes on", SOON, || numbered() > before + 5);
        let pids = stack.daemons();
        host.kill(pids[index], Signal::KILL);
        // The descriptor of a terminal's master comes back from the one that lives.
        eventually("both are there", SOON, || {
            let now = stack.daemons();
            now[0] != 0 && now[1] != 0 && now[index] != pids[index]
        });
    }
    let before = numbered();
    eventually("it goes on", SOON, || numbered() > before + 5);

    let lines = lines(&stack);
    assert_eq!(lines[0], "/dev/pts/0");
    assert!(lines[1].starts_with("crw--w----") && lines[1].ends_with("/dev/pts/0"), "{lines:?}");
    assert_eq!(lines[2..4], ["24 80", "told"]);
    for (number, line) in (1..).zip(&lines[4..]) {
        assert_eq!(*line, format!("line {number}"));
    }
    // Another one, for a program that is run inside.
    let script = ["exec", "-t", "teller", "tty"];
    let (running, terminal) = host.start_on_terminal(stack.command(&script));
    terminal.wait_for("/dev/pts/1\r\n", SOON);
    assert_eq!(running.finish(SOON).code, 0);
    stack.down().ok();
}
