//! The life of a container under a keeper that lives.

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use hoist_keeper::protocol::{Event, Exec, Message, Phase, Refusal, Reply, Request};
use hoist_keeper::{LogState, StdioKind, WindowSize, open_stdin};
use hoist_runtime::identity::Exit;
use oci_spec::runtime::{Capability, LinuxCapabilitiesBuilder, LinuxNamespaceType};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::Test;
use crate::host::{Host, eventually, key, lines};

pub const TESTS: &[Test] = &[
    ("a_container_runs_its_output_is_kept_and_its_end_told", a_container_runs),
    ("a_program_that_can_not_be_executed_is_a_failure_and_leaves_nothing", a_failed_launch),
    ("both_streams_come_in_order", both_streams),
    ("a_signal_ends_a_container", a_signal),
    ("standard_input_reaches_the_program_and_ends", standard_input),
    ("any_user_of_a_container_may_write_to_dev_stdout", dev_stdout),
    ("a_terminal_goes_both_ways_and_is_logged", a_terminal),
    ("a_process_runs_inside_a_container", exec),
    ("a_process_runs_inside_a_container_on_a_terminal", exec_on_a_terminal),
    ("a_key_is_launched_again_only_after_its_end", launched_again),
    ("a_large_specification_arrives", a_large_specification),
    ("what_a_container_leaves_behind_is_reaped", strays),
    ("a_full_disk_holds_a_container_up_then_costs_output_never_the_container", full_disk),
];

fn a_container_runs() {
    let mut host = Host::new();
    host.launch("web", "echo one; echo two; exit 7");
    assert_eq!(host.spawned("web").len(), 3);
    let exit = host.exit("web");
    assert_eq!((exit.exit, exit.attempt, exit.oom_killed), (Exit::Code(7), 1, false));
    // At the moment the end is told, all output is there.
    assert_eq!(host.lines("web"), ["one", "two"]);
    assert_eq!(host.phase("web"), Some(Phase::Exited(exit)));
    assert!(host.path("state/instances/web/exit.json").exists());
    host.done(Request::Forget { key: key("web") });
    assert_eq!(host.phase("web"), None);
    assert!(!host.path("state/instances/web").exists());
}

fn a_failed_launch() {
    let mut host = Host::new();
    let launch = host.program("web", &["/does/not/exist"]);
    let (Reply::LaunchFailed(failure), _) = host.try_launch(launch) else { panic!("it ran") };
    assert!(failure.message.contains("/does/not/exist"), "{failure:?}");
    assert_eq!(host.phase("web"), None);
    assert!(!host.path("state/instances/web").exists());
}

fn both_streams() {
    let mut host = Host::new();
    host.launch("web", "for i in 1 3 5; do echo $i; sleep 0.02; echo $((i+1)) >&2; sleep 0.02; done");
    host.exit("web");
    assert_eq!(host.lines("web"), ["1", "2", "3", "4", "5", "6"]);
}

fn a_signal() {
    let mut host = Host::new();
    host.launch("web", "trap 'echo got it; exit 5' USR1; echo ready; while :; do sleep 0.01; done");
    host.wait_line("web", "ready");
    host.signal("web", libc::SIGUSR1);
    assert_eq!(host.exit("web").exit, Exit::Code(5));
    host.launch("db", "sleep 1000");
    host.signal("db", libc::SIGKILL);
    assert_eq!(host.exit("db").exit, Exit::Signal(libc::SIGKILL));
    let (reply, _) = host.ask(Request::Signal { key: key("db"), exec: None, signal: 9 }, Vec::new());
    assert!(matches!(reply, Reply::Refused { why: Refusal::State, .. }), "{reply:?}");
}

fn standard_input() {
    let mut host = Host::new();
    let mut launch = host.shell("cat", "cat; echo end");
    launch.stdio.kind = StdioKind::Pipes { stdin: true };
    host.launch_as(launch);
    drop(host.spawned("cat"));
    let stdin = open_stdin(&host.run_dir("cat")).unwrap().unwrap();
    rustix::io::write(&stdin, b"hello\n").unwrap();
    host.wait_line("cat", "hello");
    drop(stdin);
    host.done(Request::CloseStdin { key: key("cat") });
    assert_eq!(host.exit("cat").exit, Exit::Code(0));
    assert_eq!(host.lines("cat"), ["hello", "end"]);
}

fn dev_stdout() {
    let mut host = Host::new();
    let script = "echo path > /dev/stdout
        setpriv --reuid 1234 --clear-groups sh -c 'echo other > /proc/self/fd/1'";
    let mut launch = host.shell("web", script);
    let wanted: HashSet<Capability> = [Capability::Setuid, Capability::Setgid].into();
    let granted = LinuxCapabilitiesBuilder::default()
        .bounding(wanted.clone())
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .effective(wanted.clone())
        .permitted(wanted)
        .build();
    launch.spec.process_mut().as_mut().unwrap().set_capabilities(granted.ok());
    host.launch_as(launch);
    assert_eq!(host.exit("web").exit, Exit::Code(0));
    assert_eq!(host.lines("web"), ["path", "other"]);
}

fn a_terminal() {
    let mut host = Host::new();
    let script = "tty; test -c $(tty) && readlink /proc/self/fd/0; echo console > /dev/console; stty size; \
                  read line; echo \"you said $line\"; stty size";
    let mut launch = host.shell("tty", script);
    launch.stdio.kind = StdioKind::Terminal(WindowSize { rows: 12, columns: 34 });
    let process = launch.spec.process_mut().as_mut().unwrap();
    process.set_terminal(Some(true));
    host.launch_as(launch);
    let fds = host.spawned("tty");
    assert_eq!(fds.len(), 3);
    host.wait_line("tty", "12 34");
    host.done(Request::Resize { key: key("tty"), size: WindowSize { rows: 5, columns: 6 } });
    rustix::io::write(&fds[2], b"word\n").unwrap();
    assert_eq!(host.exit("tty").exit, Exit::Code(0));
    let lines = host.lines("tty");
    assert_eq!(
        lines,
        ["/dev/pts/0\r", "/dev/pts/0\r", "console\r", "12 34\r", "word\r", "you said word\r", "5 6\r"]
    );
}

fn exec_request(host: &Host, name: &str, args: &[&str]) -> Exec {
    let launch = host.program(name, args);
    let process = launch.spec.process().clone().unwrap();
    Exec {
        key: key(name),
        exec: "check".into(),
        process,
        seccomp: None,
        cgroup_dirs: Vec::new(),
        terminal: None,
        uid: 0,
        init: false,
        best_effort: true,
    }
}

fn exec_exit(host: &mut Host) -> Exit {
    host.event(|received| match &received.message {
        Message::Event(Event::ExecExited(exit)) if exit.exec == "check" => Some(exit.exit),
        _ => None,
    })
}

fn exec() {
    let mut host = Host::new();
    host.launch("web", "sleep 1000");
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let exec = exec_request(&host, "web", &["/bin/sh", "-c", "hostname; exit 4"]);
    let ends = vec![null, write.try_clone().unwrap(), write];
    let (reply, fds) = host.ask(Request::Exec(Box::new(exec)), ends);
    assert!(matches!(reply, Reply::ExecStarted { .. }), "{reply:?}");
    assert_eq!(fds.len(), 1);
    let mut text = String::new();
    std::fs::File::from(read).read_to_string(&mut text).unwrap();
    assert_eq!(text, "web\n");
    assert_eq!(exec_exit(&mut host), Exit::Code(4));
    assert_eq!(host.phase("web"), Some(Phase::Running));

    let exec = exec_request(&host, "web", &["/no/such/program"]);
    let null = || std::fs::File::open("/dev/null").unwrap().into();
    let (reply, _) = host.ask(Request::Exec(Box::new(exec)), vec![null(), null(), null()]);
    assert!(matches!(reply, Reply::LaunchFailed(_)), "{reply:?}");
}

fn exec_on_a_terminal() {
    let mut host = Host::new();
    host.launch("web", "sleep 1000");
    let mut exec = exec_request(&host, "web", &["/bin/sh", "-c", "stty size; read line; echo got $line"]);
    exec.terminal = Some(WindowSize { rows: 11, columns: 22 });
    exec.process.set_terminal(Some(true));
    let (reply, mut fds) = host.ask(Request::Exec(Box::new(exec)), Vec::new());
    assert!(matches!(reply, Reply::ExecStarted { .. }), "{reply:?}");
    let master = fds.pop().unwrap();
    rustix::io::write(&master, b"x\n").unwrap();
    let mut text = String::new();
    eventually("the answer comes", || {
        let mut buffer = [0; 256];
        if let Ok(read) = rustix::io::read(&master, &mut buffer) {
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        text.contains("got x").then_some(())
    });
    assert!(text.contains("11 22"), "{text:?}");
    assert_eq!(exec_exit(&mut host), Exit::Code(0));
}

fn launched_again() {
    let mut host = Host::new();
    let first = host.launch("web", "echo first; sleep 1000");
    let again = host.shell("web", "echo other");
    let (Reply::Launched(launched), _) = host.try_launch(again) else { panic!("not the same") };
    assert_eq!(launched.identity.pid, first, "a repeated request starts nothing");
    let mut second = host.shell("web", "echo second");
    second.attempt = 2;
    let (reply, _) = host.try_launch(second.clone());
    assert!(matches!(reply, Reply::Refused { why: Refusal::State, .. }), "{reply:?}");
    host.signal("web", libc::SIGKILL);
    host.exit("web");
    let (reply, _) = host.try_launch(host.shell("web", "echo late repetition"));
    assert!(matches!(reply, Reply::Refused { why: Refusal::State, .. }), "{reply:?}");
    host.launch_as(second);
    assert_eq!(host.exit("web").attempt, 2);
    assert_eq!(host.lines("web"), ["first", "second"]);
}

fn a_large_specification() {
    let mut host = Host::new();
    let mut launch = host.shell("web", "echo ${#BIG}");
    let process = launch.spec.process_mut().as_mut().unwrap();
    let mut env = process.env().clone().unwrap();
    env.push(format!("BIG={}", "x".repeat(100_000)));
    process.set_env(Some(env));
    host.launch_as(launch);
    host.exit("web");
    assert_eq!(host.lines("web"), ["100000"]);
}

fn strays() {
    let mut host = Host::new();
    let mut launch = host.shell("web", "(sleep 0.05; exit 1) & exit 0");
    // Without a PID namespace the background process outlives the first one, as the keeper's child.
    let mut linux = launch.spec.linux().clone().unwrap();
    let mut namespaces = linux.namespaces().clone().unwrap();
    namespaces.retain(|namespace| namespace.typ() != LinuxNamespaceType::Pid);
    linux.set_namespaces(Some(namespaces));
    launch.spec.set_linux(Some(linux));
    launch.spec.set_mounts(None);
    host.launch_as(launch);
    host.exit("web");
    eventually("the keeper has no children", || (host.children() == 0).then_some(()));
}

/// A file system of 256 KiB that is mounted nowhere, and where others find it.
fn small_disk() -> (OwnedFd, PathBuf) {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    fsconfig_set_string(&context, "size", "256k").unwrap();
    fsconfig_create(&context).unwrap();
    let disk = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), disk.as_raw_fd()).into();
    (disk, path)
}

fn full_disk() {
    let (_disk, path) = small_disk();
    let mut host = Host::new();
    let mut launch = host.shell("web", "i=0; while :; do echo $i; i=$((i+1)); done");
    launch.log.as_mut().unwrap().dir = path.join("log");
    host.launch_as(launch);
    let mut log_state = || {
        host.event(|received| match &received.message {
            Message::Event(Event::Log { state, .. }) => Some(*state),
            _ => None,
        })
    };
    assert!(matches!(log_state(), LogState::Stalled { errno: libc::ENOSPC }));
    assert_eq!(log_state(), LogState::Dropping);
    std::fs::File::create(path.join("log/stdout.00000001.log")).unwrap();
    let LogState::Resumed { lost } = log_state() else { panic!("not resumed") };
    assert!(lost > 0);
    assert_eq!(host.phase("web"), Some(Phase::Running));
    let recorded = eventually("the gap is in the log", || {
        lines(&path.join("log")).iter().find_map(|line| line.strip_prefix("gap of ")?.parse::<u64>().ok())
    });
    assert!(recorded <= lost, "{recorded} of {lost}");
}
