//! A folder with a keeper that can be killed and started again, and short ways to ask it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hoist_keeper::client::{self, Client, Received};
use hoist_keeper::protocol::{
    Event, ExitRecord, HandBack, Key, Launch, LogSpec, Message, Phase, Reply, Request, Status,
};
use hoist_keeper::reader::{Entry, Query, Reader};
use hoist_keeper::{Config, Limits, StdioKind, StdioSpec, run};
use hoist_runtime::rootfs::{Layers, Rootfs, assemble};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// Nothing here takes longer, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The keeper's process: `ROOT [RESPAWN…]`.
pub fn keeper_main(args: &[String]) {
    let root = PathBuf::from(&args[0]);
    let mut config = Config::new(root.join("state"), root.join("keeper.sock"));
    config.diary = Some(root.join("diary"));
    config.log_patience = Duration::from_millis(500);
    config.respawn = args[1..].iter().map(Into::into).collect();
    config.holder = ["keeper-test".into(), "holder".into(), root.clone().into()].into();
    let code = match run(config) {
        Ok(()) => 0,
        Err(error) => {
            let _ = std::fs::write(root.join("error"), error.to_string());
            3
        }
    };
    std::process::exit(code);
}

pub struct Host {
    pub dir: tempfile::TempDir,
    keeper: Option<Child>,
    pub agent: Option<Client>,
    events: VecDeque<Received>,
    /// Of all containers, to end them with the test.
    pidfds: Vec<OwnedFd>,
    respawn: Vec<String>,
    is_guest: bool,
}

impl Host {
    pub fn new() -> Host {
        Host::with_respawn_in(tempfile::tempdir().unwrap(), &[])
    }

    /// With a way to start an agent again. The test itself then is only a guest.
    pub fn with_respawn_in(dir: tempfile::TempDir, respawn: &[&str]) -> Host {
        let mut host = Host {
            dir,
            keeper: None,
            agent: None,
            events: VecDeque::new(),
            pidfds: Vec::new(),
            respawn: respawn.iter().map(ToString::to_string).collect(),
            is_guest: !respawn.is_empty(),
        };
        host.start();
        host.connect();
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn start(&mut self) {
        assert!(self.keeper.is_none());
        self.keeper = Some(self.command().spawn().unwrap());
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("keeper").arg(self.dir.path()).args(&self.respawn).stdin(Stdio::null());
        command
    }

    pub fn keeper_pid(&self) -> u32 {
        self.keeper.as_ref().unwrap().id()
    }

    /// The process that holds output pipes.
    pub fn holder(&self) -> Option<Pid> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let is_it = |line: &[u8]| {
            let mut words = line.split(|byte| *byte == 0).skip(1);
            words.next() == Some(b"holder")
                && words.next() == Some(self.dir.path().as_os_str().as_encoded_bytes())
        };
        processes
            .filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| is_it(&line)))
            .find_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
    }

    /// Ends the process that holds output pipes, and waits until it is gone.
    pub fn end_holder(&self) {
        let Some(holder) = self.holder() else { return };
        let Ok(gone) = pidfd_open(holder, PidfdFlags::empty()) else { return };
        let _ = kill_process(holder, Signal::KILL);
        let patience = Timespec { tv_sec: 5, tv_nsec: 0 };
        let _ = poll(&mut [PollFd::new(&gone, PollFlags::IN)], Some(&patience));
    }

    /// How many children the keeper has, but the one that holds pipes.
    pub fn children(&self) -> usize {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.keeper_pid()));
        let holder = self.holder().map(|holder| holder.to_string());
        children.unwrap().split_whitespace().filter(|child| Some(*child) != holder.as_deref()).count()
    }

    pub fn kill_keeper(&mut self) {
        let mut keeper = self.keeper.take().unwrap();
        keeper.kill().unwrap();
        keeper.wait().unwrap();
        self.agent = None;
    }

    pub fn wait_keeper(&mut self) -> ExitStatus {
        self.keeper.take().unwrap().wait().unwrap()
    }

    pub fn connect(&mut self) {
        let socket = self.path("keeper.sock");
        let connect = if self.is_guest { client::connect_as_guest } else { client::connect };
        let client = eventually("a keeper answers", || connect(&socket).ok());
        self.agent = Some(client.0);
        self.events.clear();
    }

    pub fn restart(&mut self) {
        self.kill_keeper();
        self.start();
        self.connect();
    }

    pub fn ask(&mut self, request: Request, fds: Vec<OwnedFd>) -> (Reply, Vec<OwnedFd>) {
        self.agent.as_mut().unwrap().call(request, fds).unwrap()
    }

    pub fn done(&mut self, request: Request) {
        let (reply, _) = self.ask(request, Vec::new());
        assert_eq!(reply, Reply::Done);
    }

    /// The next event that `pick` takes; others are kept.
    pub fn event<T>(&mut self, mut pick: impl FnMut(&Received) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut checked = 0;
        loop {
            while checked < self.events.len() {
                if let Some(found) = pick(&self.events[checked]) {
                    self.events.remove(checked);
                    return found;
                }
                checked += 1;
            }
            assert!(Instant::now() < deadline, "not told: {:?}", self.events);
            let agent = self.agent.as_mut().unwrap();
            agent.set_nonblocking(true).unwrap();
            let received = agent.receive();
            agent.set_nonblocking(false).unwrap();
            match received {
                Ok(Some(received)) => self.events.push_back(received),
                Ok(None) => panic!("the keeper has gone"),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
                    let agent = agent.as_fd();
                    let _ = poll(&mut [PollFd::new(&agent, PollFlags::IN)], Some(&second));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub fn exit(&mut self, name: &str) -> ExitRecord {
        let wanted = key(name);
        self.event(|received| match &received.message {
            Message::Event(Event::Exited(exit)) if exit.key == wanted => Some(exit.clone()),
            _ => None,
        })
    }

    /// The descriptors that came with the news of a launch.
    pub fn spawned(&mut self, name: &str) -> Vec<OwnedFd> {
        let wanted = key(name);
        self.event(|received| match &received.message {
            Message::Event(Event::Spawned { key, .. }) if *key == wanted => {
                Some(received.fds.iter().map(|fd| fd.try_clone().unwrap()).collect())
            }
            _ => None,
        })
    }

    pub fn launch(&mut self, name: &str, script: &str) -> i32 {
        let launch = self.shell(name, script);
        self.launch_as(launch)
    }

    /// Launches, and holds what an agent holds.
    pub fn launch_as(&mut self, launch: Launch) -> i32 {
        let name = launch.key.as_str().to_owned();
        let (reply, _) = self.try_launch(launch);
        let Reply::Launched(launched) = reply else { panic!("{reply:?}") };
        let pid = launched.identity.pid;
        // It may have ended already.
        self.pidfds.extend(pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()));
        assert_eq!(launched.key.as_str(), name);
        pid
    }

    pub fn try_launch(&mut self, launch: Launch) -> (Reply, Vec<OwnedFd>) {
        let rootfs = self.rootfs(launch.key.as_str());
        self.ask(Request::Launch(Box::new(launch)), vec![rootfs])
    }

    /// What this machine has, with writes going elsewhere.
    pub fn rootfs(&self, name: &str) -> OwnedFd {
        let part = |part: &str| {
            let dir = self.path("instances").join(name).join(part);
            std::fs::create_dir_all(&dir).unwrap();
            dir
        };
        let layers = Layers { lower: vec!["/".into()], upper: part("upper"), work: part("work") };
        assemble(&Rootfs::Layers(layers)).unwrap()
    }

    pub fn log_dir(&self, name: &str) -> PathBuf {
        self.path("instances").join(name).join("log")
    }

    pub fn run_dir(&self, name: &str) -> PathBuf {
        self.path("instances").join(name).join("run")
    }

    pub fn shell(&self, name: &str, script: &str) -> Launch {
        self.program(name, &["/bin/sh", "-c", script])
    }

    pub fn program(&self, name: &str, args: &[&str]) -> Launch {
        let spec = serde_json::json!({
            "ociVersion": "1.2.0",
            "root": { "path": "rootfs" },
            "hostname": name,
            "process": {
                "args": args,
                "cwd": "/",
                "env": ["PATH=/usr/local/bin:/usr/bin:/bin", "TERM=xterm"],
                "user": { "uid": 0, "gid": 0 },
            },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                  "options": ["nosuid", "mode=755"] },
                { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                  "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
            ],
            "linux": {
                "namespaces": [
                    { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" },
                    { "type": "network" },
                ],
            },
        });
        Launch {
            key: key(name),
            attempt: 1,
            spec: serde_json::from_value(spec).unwrap(),
            stdio: StdioSpec {
                dir: self.run_dir(name),
                uid: 0,
                gid: 0,
                kind: StdioKind::Pipes { stdin: false },
            },
            log: Some(LogSpec { dir: self.log_dir(name), limits: Limits::default() }),
            cgroup: None,
            cgroup_dirs: Vec::new(),
            executable: None,
            init: false,
            best_effort: true,
            netns: false,
        }
    }

    /// What an instance has written, line by line.
    pub fn lines(&self, name: &str) -> Vec<String> {
        lines(&self.log_dir(name))
    }

    pub fn wait_line(&self, name: &str, wanted: &str) {
        eventually(&format!("{wanted:?} is in the log"), || {
            self.lines(name).iter().any(|line| line.contains(wanted)).then_some(())
        });
    }

    pub fn status(&mut self, name: &str) -> Option<Status> {
        let (reply, _) = self.ask(Request::List, Vec::new());
        let Reply::Instances(instances) = reply else { panic!("{reply:?}") };
        instances.into_iter().find(|status| status.key == key(name))
    }

    pub fn phase(&mut self, name: &str) -> Option<Phase> {
        self.status(name).map(|status| status.phase)
    }

    pub fn signal(&mut self, name: &str, signal: i32) {
        self.done(Request::Signal { key: key(name), exec: None, signal });
    }

    pub fn hand_back(&mut self, name: &str, pidfd: Option<OwnedFd>, master: Option<OwnedFd>) {
        let back = HandBack { key: key(name), pidfd: pidfd.is_some(), terminal: master.is_some() };
        let (reply, _) = self.ask(Request::HandBack(back), pidfd.into_iter().chain(master).collect());
        assert_eq!(reply, Reply::Done);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for pidfd in &self.pidfds {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
        if let Some(mut keeper) = self.keeper.take() {
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
        self.end_holder();
        for pidfd in &self.pidfds {
            let _ = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], None);
        }
        if std::thread::panicking() {
            let diary = std::fs::read_to_string(self.path("diary")).unwrap_or_default();
            eprintln!("the keeper's diary:\n{diary}");
        }
    }
}

pub fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

pub fn lines(dir: &Path) -> Vec<String> {
    let mut reader = Reader::open(dir, &Query::default()).unwrap();
    let mut lines = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        match entry {
            Entry::Line(line) => lines.push(String::from_utf8_lossy(&line.text).into_owned()),
            Entry::Gap { lost, .. } => lines.push(format!("gap of {lost}")),
            Entry::Run { .. } => {}
        }
    }
    lines
}

/// Waits for a condition, with a bound.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(met) = condition() {
            return met;
        }
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
