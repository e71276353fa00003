//! What a container wrote last is kept although container, keeper and agent are killed before it was read.

use std::fs;

use hoist_keeper::protocol::{Phase, Request};
use rustix::process::{Pid, Signal, kill_process};

use crate::Test;
use crate::host::{Host, eventually};

pub const TESTS: &[Test] = &[
    ("last_words_outlive_container_keeper_and_agent", last_words),
    ("last_words_outlive_a_holder_that_was_killed_before", holder_killed_before),
    ("the_next_keeper_goes_on_with_the_holder_that_it_finds", goes_on),
    ("a_holder_ends_with_the_keeper_unless_something_runs_on", ends),
    ("a_holder_whose_keeper_was_killed_ends_when_nothing_is_left_to_hold", nothing_left),
];

fn holder(host: &Host) -> Pid {
    eventually("pipes are held", || host.holder())
}

fn pid(number: i32) -> Pid {
    Pid::from_raw(number).unwrap()
}

fn has_ended(number: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// Waits to be told to write its last words, and says that it has.
const SCRIPT: &str = "trap 'echo last; echo words >&2; echo > /wrote' USR1
    echo ready; while :; do sleep 0.01; done";

/// The keeper stands still while the container writes, and both are killed, one or the other first. The agent, which
/// the test is, has let go of all it had by then.
fn lose_all_but_the_holder(host: &mut Host, name: &str, keeper_first: bool) {
    let container = host.launch(name, SCRIPT);
    host.wait_line(name, "ready");
    let keeper = pid(i32::try_from(host.keeper_pid()).unwrap());
    kill_process(keeper, Signal::STOP).unwrap();
    kill_process(pid(container), Signal::USR1).unwrap();
    let wrote = host.path("instances").join(name).join("upper/wrote");
    eventually("it has written", || wrote.exists().then_some(()));
    if keeper_first {
        host.kill_keeper();
    }
    kill_process(pid(container), Signal::KILL).unwrap();
    eventually("the container has ended", || has_ended(container).then_some(()));
    if !keeper_first {
        host.kill_keeper();
    }
}

fn assert_nothing_lost(host: &mut Host, name: &str) {
    host.start();
    host.connect();
    // How it ended is learnt at once where its parent left it to be read, and else not at all.
    eventually("its end is settled", || match host.phase(name) {
        Some(Phase::Exited(_)) => Some(()),
        Some(Phase::Lost) => {
            host.hand_back(name, None, None);
            None
        }
        _ => None,
    });
    let mut lines = host.lines(name);
    lines.sort();
    assert_eq!(lines, ["last", "ready", "words"]);
}

fn last_words() {
    let mut host = Host::new();
    for (name, keeper_first) in [("one", true), ("two", false)] {
        lose_all_but_the_holder(&mut host, name, keeper_first);
        assert_nothing_lost(&mut host, name);
    }
}

fn holder_killed_before() {
    let mut host = Host::new();
    host.launch("web", "echo ready; sleep 1000");
    let former = holder(&host);
    kill_process(former, Signal::KILL).unwrap();
    eventually("another one holds", || host.holder().filter(|holder| *holder != former));
    lose_all_but_the_holder(&mut host, "one", true);
    assert_nothing_lost(&mut host, "one");
}

fn goes_on() {
    let mut host = Host::new();
    host.launch("web", "sleep 1000");
    let before = holder(&host);
    host.restart();
    host.restart();
    assert_eq!(holder(&host), before);
    let pipes = || fs::read_dir(format!("/proc/{}/fd", before.as_raw_nonzero())).unwrap();
    let held = || {
        let targets = pipes().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.filter(|target| target.ends_with("stdout") || target.ends_with("stderr")).count()
    };
    eventually("two pipes are held", || (held() == 2).then_some(()));
    host.signal("web", libc::SIGKILL);
    host.exit("web");
    eventually("they are let go", || (held() == 0).then_some(()));
}

fn ends() {
    let mut host = Host::new();
    host.launch("web", "sleep 1000");
    let holder = holder(&host);
    host.done(Request::Shutdown { force: true });
    assert!(host.wait_keeper().success());
    assert_eq!(host.holder(), Some(holder), "it runs on");
    host.start();
    host.connect();
    host.signal("web", libc::SIGKILL);
    host.hand_back("web", None, None);
    host.exit("web");
    host.done(Request::Shutdown { force: false });
    assert!(host.wait_keeper().success());
    assert_eq!(host.holder(), None);
    assert!(!host.path("state/holder.sock").exists());
}

fn nothing_left() {
    let mut host = Host::new();
    host.launch("web", "exit 0");
    host.exit("web");
    holder(&host);
    host.kill_keeper();
    eventually("it ends", || host.holder().is_none().then_some(()));
}
