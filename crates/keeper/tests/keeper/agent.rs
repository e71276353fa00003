//! The keeper watches the agent.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hoist_keeper::client;
use hoist_keeper::protocol::Request;

use crate::Test;
use crate::host::{Host, eventually};

pub const TESTS: &[Test] = &[
    ("an_agent_that_is_killed_is_started_again", killed),
    ("an_agent_that_says_goodbye_is_not", goodbye),
    ("an_agent_that_dies_at_once_is_started_ever_more_rarely", dies_at_once),
];

/// An agent: `SOCKET FILE WHAT`. Writes its process id into a new line of the file.
pub fn mark_main(args: &[String]) {
    let [root, what] = args else { panic!("{args:?}") };
    let root = Path::new(root);
    let known = fs::read_to_string(root.join("agents")).unwrap_or_default();
    fs::write(root.join("agents"), format!("{known}{}\n", std::process::id())).unwrap();
    if what == "die" {
        return;
    }
    let mut client = client::connect(&root.join("keeper.sock")).unwrap().0;
    fs::write(root.join("connected"), known.lines().count().to_string()).unwrap();
    if root.join("leave").exists() {
        client.call(Request::Goodbye, Vec::new()).unwrap();
        return;
    }
    std::thread::sleep(Duration::from_secs(60));
}

fn host(what: &str) -> Host {
    let dir = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let root = dir.path().to_str().unwrap().to_owned();
    Host::with_respawn_in(dir, &[exe.to_str().unwrap(), "mark", &root, what])
}

fn agents(host: &Host) -> Vec<i32> {
    let text = fs::read_to_string(host.path("agents")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn start_agent(host: &Host, what: &str) -> std::process::Child {
    let exe = std::env::current_exe().unwrap();
    std::process::Command::new(exe).arg("mark").arg(host.dir.path()).arg(what).spawn().unwrap()
}

fn killed() {
    let host = host("stay");
    let mut agent = start_agent(&host, "stay");
    eventually("the first agent connects", || host.path("connected").exists().then_some(()));
    agent.kill().unwrap();
    agent.wait().unwrap();
    let second = eventually("a second agent starts", || agents(&host).get(1).copied());
    let connected = || fs::read_to_string(host.path("connected")).ok().filter(|text| text == "1");
    eventually("the second agent connects", connected);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(second).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let third = eventually("a third agent starts", || agents(&host).get(2).copied());
    fs::write(host.path("leave"), "").unwrap();
    let _ = rustix::process::kill_process(
        rustix::process::Pid::from_raw(third).unwrap(),
        rustix::process::Signal::KILL,
    );
}

fn goodbye() {
    let host = host("stay");
    fs::write(host.path("leave"), "").unwrap();
    let mut agent = start_agent(&host, "stay");
    assert!(agent.wait().unwrap().success());
    // Long enough for the first pause of 100 ms.
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(agents(&host).len(), 1);
}

fn dies_at_once() {
    let host = host("die");
    let started = Instant::now();
    let mut first = start_agent(&host, "stay");
    eventually("the first agent connects", || host.path("connected").exists().then_some(()));
    first.kill().unwrap();
    first.wait().unwrap();
    eventually("it was tried four times", || (agents(&host).len() >= 5).then_some(()));
    // 100 + 200 + 400 + 800 ms.
    assert!(started.elapsed() >= Duration::from_millis(1500));
}
