//! `hoist exec`, with and without a terminal.

use std::io::Write;
use std::process::Stdio;

use hoist_tests::command::Signal;
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

#[test]
fn every_form_that_people_type_opens_a_shell() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    for form in ["-it", "-ti", "-i -t", "-t", "-i", "--tty --interactive", "-it -u 0", "--no-TTY=false"] {
        let words: Vec<&str> = form.split(' ').collect();
        let exec = |rest: &[&'static str]| [&["exec"], &words[..], &["talker"], rest].concat();
        let (running, mut terminal) = host.start_on_terminal(stack.command(&exec(&["sh"])));
        terminal.wait_for("# ", SOON);
        terminal.keys("test -t 0 && exit 5\n");
        assert_eq!(running.finish(SOON).code, 5, "{form}");
        // A script says it too, and gets no terminal's line ends.
        assert_eq!(stack.hoist(&exec(&["echo", "hello"])).success().stdout, "hello\n", "{form}");
    }
    for form in ["-T", "--no-TTY", "--no-tty", "--tty=false", "-itT"] {
        let command = stack.command(&["exec", form, "talker", "sh", "-c", "test ! -t 0 && exit 6"]);
        assert_eq!(host.start_on_terminal(command).0.finish(SOON).code, 6, "{form}");
    }
    let typo = stack.hoist(&["exec", "--tyy", "talker", "sh"]).ended_with(2);
    assert!(typo.stderr.contains("--tyy"), "{typo}");
    stack.down().ok();
}

#[test]
fn its_terminal_is_one_of_the_instances_own() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let script = "tty; ls -l $(tty) /dev/pts; test $(readlink /proc/self/fd/0) = $(tty) && echo it is so";
    let (running, terminal) =
        host.start_on_terminal(stack.command(&["exec", "-it", "talker", "sh", "-c", script]));
    terminal.wait_for("it is so", SOON);
    assert_eq!(running.finish(SOON).code, 0, "{}", terminal.screen());
    assert!(terminal.screen().starts_with("/dev/pts/0\r\n"), "{}", terminal.screen());
    stack.down().ok();
}

/// What an instance puts at `/dev/pts/ptmx` is not taken for a terminal, and can't keep anyone waiting.
#[test]
fn a_multiplexer_that_is_none_is_left_alone() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    let replace = "mount -t tmpfs t /dev/pts && mkfifo /dev/pts/ptmx";
    // From outside: an exec, privileged or not, has no system calls that its service doesn't have.
    let id = stack.instance("talker").id;
    let pid = stack.pids().into_iter().find(|(known, _)| known.starts_with(&id)).unwrap().1;
    host.run("nsenter", &["-t", &pid.to_string(), "-m", "sh", "-c", replace]).ok();
    let command = stack.command(&["exec", "-it", "talker", "sh", "-c", "test -t 0 && exit 7"]);
    assert_eq!(host.start_on_terminal(command).0.finish(SOON).code, 7);
    stack.down().ok();
}

#[test]
fn the_terminal_is_as_before_however_it_ends() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let (running, terminal) = host.start_on_terminal(stack.command(&["exec", "-it", "talker", "sh"]));
        terminal.wait_for("# ", SOON);
        assert!(!terminal.is_cooked(), "keys go to the program inside");
        running.signal(signal);
        assert_eq!(running.finish(SOON).code, code);
        assert!(terminal.is_cooked(), "after signal {}", signal.as_raw());
    }
    eventually("the shells inside have ended with their terminals", SOON, || {
        !stack.listing().kind("process").iter().any(|line| line.ends_with(" sh"))
    });
    stack.down().ok();
}

/// `hoist exec … | head -1` ends, whether the program goes on writing or falls silent.
#[test]
fn it_ends_with_the_reader_of_its_output() {
    let Some(host) = Host::new() else { return };
    let stack = up(&host);
    for script in ["yes", "echo y; exec sleep 100001", "while :; do echo y; sleep 0.1; done"] {
        let mut command = stack.command(&["exec", "-T", "talker", "sh", "-c", script]);
        command.stdin(Stdio::null());
        let line = super::streams::in_a_pipe(&host, &command, "head -1");
        assert_eq!((line.stdout.as_str(), line.stderr.as_str()), ("y\n", ""), "{script}");
        assert_eq!(line.code, 141, "{script}: as a shell says of one that nobody reads");
    }
    stack.down().ok();
}
