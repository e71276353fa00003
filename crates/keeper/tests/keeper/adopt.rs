//! A keeper that was killed, and the next one.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hoist_keeper::protocol::{Phase, Refusal, Reply, Request, TakeUp};
use hoist_keeper::{StdioKind, WindowSize};
use hoist_runtime::identity::Exit;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::Test;
use crate::host::{Host, eventually, key};

pub const TESTS: &[Test] = &[
    ("a_killed_keeper_is_replaced_and_its_container_goes_on", goes_on),
    ("an_end_while_no_keeper_ran_is_learnt_from_the_agents_pidfd", ended_meanwhile),
    ("an_end_that_nobody_saw_is_unknown", nobody_saw),
    ("a_known_end_is_still_known_to_the_next_keeper", known_end),
    ("an_instance_of_an_earlier_boot_has_ended", earlier_boot),
    ("a_launch_that_had_only_begun_is_ended", only_begun),
    ("a_keeper_killed_while_it_launches_leaves_nothing_unknown", killed_while_launching),
    ("what_runs_without_a_record_is_looked_after_again", without_a_record),
    ("a_newcomer_hears_of_launches_that_were_unread", unread_launch),
    ("a_terminal_is_handed_back_and_nothing_of_it_is_lost", terminal_handed_back),
    ("a_closed_standard_input_stays_closed", closed_stdin),
    ("descriptors_are_held_and_given_back", held_descriptors),
];

fn goes_on() {
    let mut host = Host::new();
    let pid = host.launch("web", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    host.wait_line("web", "ready");
    host.restart();
    let status = host.status("web").unwrap();
    assert_eq!((status.phase, status.identity.unwrap().pid), (Phase::Running, pid));
    let (reply, fds) = host.ask(Request::Descriptors { key: key("web") }, Vec::new());
    assert_eq!((reply, fds.len()), (Reply::Descriptors { pidfd: true }, 3));
    host.signal("web", libc::SIGTERM);
    assert_eq!(host.exit("web").exit, Exit::Code(3));
    assert_eq!(host.lines("web"), ["ready", "bye"]);
}

/// Ends the container while there is no keeper. Returns the pidfd an agent would have.
fn end_without_keeper(host: &mut Host, pid: i32) -> OwnedFd {
    let pid = Pid::from_raw(pid).unwrap();
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    host.kill_keeper();
    kill_process(pid, Signal::TERM).unwrap();
    eventually("the container is reaped", || rustix::process::test_kill_process(pid).err());
    host.start();
    host.connect();
    pidfd
}

const ENDS_WITH_9: &str = "trap 'echo last; exit 9' TERM; echo ready; while :; do sleep 0.01; done";

fn ended_meanwhile() {
    let mut host = Host::new();
    let pid = host.launch("web", ENDS_WITH_9);
    host.wait_line("web", "ready");
    let held = host.spawned("web");
    let pidfd = end_without_keeper(&mut host, pid);
    assert_eq!(host.phase("web"), Some(Phase::Lost));
    host.hand_back("web", Some(pidfd), None);
    assert_eq!(host.exit("web").exit, Exit::Code(9));
    // The agent held the pipes, so their last words are there too.
    assert_eq!(host.lines("web"), ["ready", "last"]);
    drop(held);
}

fn nobody_saw() {
    let mut host = Host::new();
    let pid = host.launch("web", ENDS_WITH_9);
    host.wait_line("web", "ready");
    end_without_keeper(&mut host, pid);
    host.hand_back("web", None, None);
    assert_eq!(host.exit("web").exit, Exit::Unknown);
}

fn known_end() {
    let mut host = Host::new();
    host.launch("web", "exit 6");
    let exit = host.exit("web");
    host.restart();
    assert_eq!(host.phase("web"), Some(Phase::Exited(exit)));
}

fn earlier_boot() {
    let mut host = Host::new();
    host.launch("web", "sleep 1000");
    host.kill_keeper();
    let file = host.path("state/instances/web/instance.json");
    let text = fs::read_to_string(&file).unwrap();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(&file, text.replace(boot_id.trim(), "00000000-1111-2222-3333-444444444444")).unwrap();
    host.start();
    host.connect();
    let Some(Phase::Exited(exit)) = host.phase("web") else { panic!("not ended") };
    assert_eq!(exit.exit, Exit::Unknown);
}

/// A control group that goes away with the test, and what is in it before.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Group {
        let unified = Path::new("/sys/fs/cgroup/unified");
        let root = if unified.exists() { unified } else { Path::new("/sys/fs/cgroup") };
        let dir = root.join(format!("hoist-keeper-test-{}-{name}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Group(dir)
    }

    fn processes(&self) -> Vec<Pid> {
        let text = fs::read_to_string(self.0.join("cgroup.procs")).unwrap();
        text.lines().filter_map(|line| Pid::from_raw(line.parse().unwrap())).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = kill_process(pid, Signal::KILL);
        }
        eventually("the group can be removed", || fs::remove_dir(&self.0).ok());
    }
}

fn only_begun() {
    let mut host = Host::new();
    host.kill_keeper();
    let group = Group::new("begun");
    let mut process = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    fs::write(group.0.join("cgroup.procs"), process.id().to_string()).unwrap();
    let state = host.path("state/instances/web");
    fs::create_dir(&state).unwrap();
    let begun = serde_json::json!({ "key": "web", "cgroup_dirs": [group.0] });
    fs::write(state.join("launch.json"), begun.to_string()).unwrap();
    host.start();
    host.connect();
    assert_eq!(process.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert_eq!(host.phase("web"), None);
    assert!(!state.exists());
    host.launch("web", "exit 0");
}

fn killed_while_launching() {
    let group = Group::new("launching");
    let mut host = Host::new();
    for turn in 0..60_u64 {
        let name = format!("web-{turn}");
        let dir = group.0.join(&name);
        fs::create_dir(&dir).unwrap();
        // With an init now and then: the process that waits then isn't the one that becomes the program.
        let mut launch = host.shell(&name, "echo > /ran; exec sleep 1000");
        launch.init = turn % 3 == 0;
        launch.cgroup_dirs = vec![dir.clone()];
        let rootfs = host.rootfs(&name);
        host.agent.as_mut().unwrap().send(Request::Launch(Box::new(launch)), vec![rootfs]).unwrap();
        std::thread::sleep(Duration::from_micros(turn * 7919 % 6000));
        host.kill_keeper();
        host.start();
        host.connect();
        let group = Group(dir);
        let ran = host.path("instances").join(&name).join("upper/ran");
        match host.phase(&name) {
            // It may be between having been released and its program's first steps.
            Some(Phase::Running) => eventually("what is said to run runs", || ran.exists().then_some(())),
            None => {
                eventually("nothing runs unknown", || group.processes().is_empty().then_some(()));
                assert!(!ran.exists(), "{name} ran, and nobody knows");
            }
            other => panic!("nobody ended it: {other:?}"),
        }
    }
}

fn without_a_record() {
    let mut host = Host::new();
    let pid = host.launch("web", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    host.wait_line("web", "ready");
    host.kill_keeper();
    fs::write(host.path("state/instances/web/instance.json"), "").unwrap();
    host.start();
    host.connect();
    assert_eq!(host.phase("web"), None);
    let launch = host.shell("web", "");
    let lost = TakeUp {
        key: key("web"),
        attempt: 4,
        pid,
        stdio: launch.stdio,
        log: launch.log,
        cgroup: None,
        cgroup_dirs: Vec::new(),
    };
    let pidfd = || pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
    let (reply, _) = host.ask(Request::TakeUp(Box::new(lost.clone())), vec![pidfd()]);
    assert_eq!(reply, Reply::Done);
    let (reply, _) = host.ask(Request::TakeUp(Box::new(lost)), vec![pidfd()]);
    assert!(matches!(reply, Reply::Refused { why: Refusal::State, .. }), "{reply:?}");
    host.restart();
    let status = host.status("web").unwrap();
    assert_eq!((status.phase, status.attempt, status.identity.unwrap().pid), (Phase::Running, 4, pid));
    host.signal("web", libc::SIGTERM);
    assert_eq!(host.exit("web").exit, Exit::Code(3));
    assert_eq!(host.lines("web"), ["ready", "bye"]);
}

/// More requests than the keeper takes of one connection in a turn; some of them are unread when the next agent asks.
fn unread_launch() {
    let mut host = Host::new();
    let names: Vec<String> = (0..70).map(|number| format!("web-{number}")).collect();
    let launches: Vec<_> = names
        .iter()
        .map(|name| (Box::new(host.program(name, &["/bin/sleep", "1000"])), host.rootfs(name)))
        .collect();
    let mut former = host.agent.take().unwrap();
    for (launch, rootfs) in launches {
        former.send(Request::Launch(launch), vec![rootfs]).unwrap();
    }
    host.connect();
    let (reply, _) = host.ask(Request::List, Vec::new());
    let Reply::Instances(instances) = reply else { panic!("{reply:?}") };
    let pids = instances.iter().filter_map(|status| Pid::from_raw(status.identity.as_ref()?.pid));
    for pid in pids {
        let _ = kill_process(pid, Signal::KILL);
    }
    assert_eq!(instances.len(), names.len());
}

fn terminal_handed_back() {
    let mut host = Host::new();
    let script = "tty; i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; read line; echo end $line";
    let mut launch = host.shell("tty", script);
    launch.stdio.kind = StdioKind::Terminal(WindowSize { rows: 10, columns: 20 });
    launch.spec.process_mut().as_mut().unwrap().set_terminal(Some(true));
    host.launch_as(launch);
    let fds = host.spawned("tty");
    let [_pidfd, _output, master] = &fds[..] else { panic!("{fds:?}") };
    for _ in 0..20 {
        host.kill_keeper();
        host.start();
        host.connect();
        host.hand_back("tty", None, Some(master.try_clone().unwrap()));
    }
    host.wait_line("tty", "2999");
    rustix::io::write(master, b"it\n").unwrap();
    assert_eq!(host.exit("tty").exit, Exit::Code(0));
    let mut expected = vec!["/dev/pts/0\r".to_owned()];
    expected.extend((0..3000).map(|number| format!("{number}\r")));
    expected.extend(["it\r".to_owned(), "end it\r".to_owned()]);
    assert_eq!(host.lines("tty"), expected);
}

fn closed_stdin() {
    let mut host = Host::new();
    let mut launch = host.shell("cat", "cat; echo end; sleep 1000");
    launch.stdio.kind = StdioKind::Pipes { stdin: true };
    host.launch_as(launch);
    let held = host.spawned("cat");
    assert_eq!(held.len(), 4);
    host.restart();
    assert_eq!(host.lines("cat"), [""; 0]);
    drop(held);
    host.done(Request::CloseStdin { key: key("cat") });
    host.wait_line("cat", "end");
    host.restart();
    assert_eq!(host.phase("cat"), Some(Phase::Running));
}

fn held_descriptors() {
    let mut host = Host::new();
    let (read, write) = rustix::pipe::pipe().unwrap();
    let (reply, _) = host.ask(Request::Hold { name: "ports".into() }, vec![read, write]);
    assert_eq!(reply, Reply::Done);
    // The agent dies with all it has.
    host.connect();
    let (reply, fds) = host.ask(Request::Take { name: "ports".into() }, Vec::new());
    assert_eq!((reply, fds.len()), (Reply::Taken, 2));
    rustix::io::write(&fds[1], b"x").unwrap();
    assert_eq!(rustix::io::read(&fds[0], &mut [0; 1]), Ok(1));
    let (reply, _) = host.ask(Request::ListHeld, Vec::new());
    assert_eq!(reply, Reply::Held { names: vec!["ports".into()] });
    host.done(Request::Drop { name: "ports".into() });
    let (reply, _) = host.ask(Request::Take { name: "ports".into() }, Vec::new());
    assert!(matches!(reply, Reply::Refused { .. }), "{reply:?}");
}
