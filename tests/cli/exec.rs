//! `hoist exec`, with and without a terminal.

use std::io::Write;
use std::process::Stdio;

use hoist_tests::{Host, SOON, Stack, eventually};

fn up(host: &Host) -> Stack<'_> {
    let stack = host.stack("cli");
    stack.up(&["talker"]).ok();
    stack
}

#[test]
fn the_programs_output_and_exit_code_pass_through() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let run = |words: &[&str]| stack.hoist(&[&["exec", "-T", "talker"], words].concat());
    let seven = run(&["sh", "-c", "echo out; echo err >&2; exit 7"]).ended_with(7);
    assert_eq!((seven.stdout.as_str(), seven.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(run(&["sh", "-c", "kill -9 $$"]).code, 137);
    let absent = run(&["no-such-program"]);
    assert_eq!(absent.code, 127, "as a shell says it: {absent}");
    assert_eq!(run(&["/etc/passwd"]).code, 126, "not executable");
    let much = run(&["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"]).success();
    assert_eq!(much.stdout.len(), 3_000_000);
    stack.down().ok();
}

#[test]
fn standard_input_goes_in_until_its_end() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let mut command = stack.command(&["exec", "-T", "talker", "wc", "-c"]);
    command.stdin(Stdio::piped());
    let mut running = host.start(command);
    let mut stdin = running.stdin().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&vec![b'x'; 1_000_000]).unwrap());
    assert_eq!(running.finish(SOON).success().text(), "1000000");
    writer.join().unwrap();
    stack.down().ok();
}

#[test]
fn environment_user_and_folder() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let show = ["sh", "-c", "echo $COLOUR $EXTRA $(id -u):$(id -g) $PWD"];
    let plain = stack.hoist(&[&["exec", "-T", "talker"], &show[..]].concat()).success();
    assert_eq!(plain.text(), "blue 0:0 /programs");
    let options = ["exec", "-T", "-e", "EXTRA=more", "-u", "65534:65534", "-w", "/etc", "talker"];
    let changed = stack.hoist(&[&options[..], &show[..]].concat()).success();
    assert_eq!(changed.text(), "blue more 65534:65534 /etc");
    stack.down().ok();
}

#[test]
fn it_runs_inside_the_instance() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let inside =
        |script: &str| stack.hoist(&["exec", "-T", "talker", "sh", "-c", script]).success().text().to_owned();
    assert_eq!(inside("cat /proc/1/comm"), "sh", "the instance's own first process");
    let id = stack.instance("talker").id;
    assert_eq!(inside("cat /proc/sys/kernel/hostname"), id, "named by its id");
    let group = inside("grep -c hoist /proc/self/cgroup || true");
    assert_eq!(group, "0", "its control group is the root of what it sees");
    inside("echo kept > /only-here");
    assert!(!std::path::Path::new("/only-here").exists(), "its root is its own");
    stack.down().ok();
}

#[test]
fn a_terminal_is_one() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let (running, mut terminal) = host.start_on_terminal(stack.command(&["exec", "talker", "sh"]));
    terminal.wait_for("# ", SOON);
    terminal.keys("test -t 0 && test -t 1 && echo it is a $((1000 + 1)) terminal\n");
    terminal.wait_for("it is a 1001 terminal", SOON);
    terminal.keys("stty size\n");
    terminal.wait_for("24 80", SOON);
    terminal.resize(100, 30);
    terminal.keys("sleep 0.2; stty size\n");
    terminal.wait_for("30 100", SOON);
    // Ctrl-C goes to the program in there, not to the command out here. What is typed before it takes effect is dropped
    // with it (termios(3), NOFLSH), so the next line is typed when the prompt is back.
    terminal.keys("sleep 1000\n");
    eventually("it sleeps", SOON, || {
        stack.listing().kind("process").iter().any(|line| line.ends_with("sleep 1000"))
    });
    terminal.keys("\u{3}");
    terminal.wait_for("^C\r\n# ", SOON);
    terminal.keys("echo still $((2000 + 2)) here\n");
    terminal.wait_for("still 2002 here", SOON);
    terminal.keys("exit 5\n");
    assert_eq!(running.finish(SOON).code, 5);
    stack.down().ok();
}

#[test]
fn a_service_that_does_not_run_is_an_error() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    stack.hoist(&["stop", "talker"]).ok();
    let refused = stack.hoist(&["exec", "-T", "talker", "true"]).ended_with(1);
    assert!(refused.stderr.contains("talker has no running instance"), "{refused}");
    let _usage = stack.hoist(&["exec", "-T", "nonsense", "true"]).ended_with(2);
    stack.down().ok();
}
