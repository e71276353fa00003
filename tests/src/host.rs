//! A throwaway host: network, mount and process namespaces of its own, joined by a link to an outside.
//!
//! Owns the guard process (`throwaway-host`), which holds the namespaces and ends everything in them when this side
//! goes away, however it goes: dropped, panicked or killed.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tempfile::TempDir;

use crate::command::{Outcome, Running, wait_for_outcome};
use crate::namespaces::Namespaces;
use crate::stack::Stack;
use crate::terminal::Terminal;
use crate::{SOON, skip};

/// The host's address on the link to the outside (RFC 5737 sets these aside for examples).
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The outside's address on that link; the host's way to everywhere else.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// What every scenario needs beside root.
const PROGRAMS: [&str; 4] = ["ip", "nft", "curl", "perl"];

/// A host that is gone when the test is.
#[derive(Debug)]
pub struct Host {
    machine: RefCell<Option<Machine>>,
    folder: TempDir,
}

/// One boot of a host.
#[derive(Debug)]
struct Machine {
    namespaces: Namespaces,
    // After the namespaces' thread, which must leave before everything in them is ended.
    guard: Guard,
}

impl Machine {
    fn boot(folder: &Path) -> Self {
        let guard = Guard::start(folder);
        let init = pidfd_open(guard.init, PidfdFlags::empty()).expect("the host's first process runs");
        Self { namespaces: Namespaces::of(init), guard }
    }
}

impl Host {
    /// A fresh host, when this machine has what `programs` asks for; none after the test has been told skipped.
    ///
    /// # Panics
    /// When it can't be made though everything is there.
    #[must_use]
    pub fn with(programs: &[&str]) -> Option<Self> {
        if let Some(why) = skip::missing(&[&PROGRAMS[..], programs].concat()) {
            skip::skipped(&why);
            return None;
        }
        let folder = TempDir::with_prefix("hoist-test-").expect("a temporary folder can be made");
        let host = Self { machine: RefCell::new(Some(Machine::boot(folder.path()))), folder };
        host.link_to_outside();
        Some(host)
    }

    /// Cuts the power and starts the machine again: no process, namespace, mount or link is left, the disk is as it
    /// was, and the kernel gives another boot id.
    pub fn reboot(&self) {
        if let Some(mut machine) = self.machine.take() {
            machine.guard.keep_folder();
        }
        self.machine.replace(Some(Machine::boot(self.folder.path())));
        self.link_to_outside();
    }

    fn with_machine<T>(&self, use_it: impl FnOnce(&Machine) -> T) -> T {
        use_it(self.machine.borrow().as_ref().expect("the machine is only off within `reboot`"))
    }

    /// A fresh host, or none after the test has been told skipped.
    #[must_use]
    pub fn new() -> Option<Self> {
        Self::with(&[])
    }

    fn link_to_outside(&self) {
        self.shell(&format!(
            "set -e
            ip link set lo up
            ip netns add outside
            ip link add eth0 type veth peer name eth0 netns outside
            ip address add {ADDRESS}/24 dev eth0
            ip link set eth0 up
            ip route add default via {OUTSIDE}
            ip -n outside link set lo up
            ip -n outside address add {OUTSIDE}/24 dev eth0
            ip -n outside address add 198.51.100.1/32 dev lo
            ip -n outside link set eth0 up"
        ))
        .ok();
    }

    /// A folder on this host for state, by a name of one's choice.
    #[must_use]
    pub fn root(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder for the test's own files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The stack of a scenario's folder (or of a file, when the name ends in `.yaml`), in the default root.
    #[must_use]
    pub fn stack(&self, scenario: &str) -> Stack<'_> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(scenario);
        let file = if scenario.ends_with(".yaml") { file } else { file.join("stack.yaml") };
        assert!(file.is_file(), "{} is missing", file.display());
        Stack::new(self, file, self.root("root"))
    }

    /// A stack by whatever name the command line is to be given, in the default root.
    #[must_use]
    pub fn stack_named(&self, name: &str) -> Stack<'_> {
        Stack::new(self, PathBuf::from(name), self.root("root"))
    }

    /// The binary without a stack file, in the default root.
    #[must_use]
    pub fn hoist(&self, words: &[&str]) -> Outcome {
        self.run_for(hoist(&self.root("root"), words), SOON)
    }

    /// A program on this host.
    #[must_use]
    pub fn run(&self, program: &str, words: &[&str]) -> Outcome {
        self.run_for(plain(program, words), SOON)
    }

    /// A shell script on this host.
    #[must_use]
    pub fn shell(&self, script: &str) -> Outcome {
        self.run("sh", &["-c", script])
    }

    /// A program on another host of the same network.
    #[must_use]
    pub fn outside(&self, words: &[&str]) -> Outcome {
        self.run("ip", &[&["netns", "exec", "outside"], words].concat())
    }

    /// A prepared command on this host, ended within `bound`.
    #[must_use]
    pub fn run_for(&self, command: Command, bound: Duration) -> Outcome {
        self.start(command).finish(bound)
    }

    /// Starts a prepared command on this host.
    #[must_use]
    pub fn start(&self, command: Command) -> Running {
        self.with_machine(|machine| Running::start(&machine.namespaces, command))
    }

    /// Starts a prepared command on this host, on a terminal.
    #[must_use]
    pub fn start_on_terminal(&self, command: Command) -> (Running, Terminal) {
        self.with_machine(|machine| Running::on_terminal(&machine.namespaces, command))
    }

    /// What an HTTP request from the outside brings, whatever the server's status; standard output is the body.
    #[must_use]
    pub fn get_from_outside(&self, port: u16, path: &str) -> Outcome {
        self.outside(&["curl", "-sS", "--max-time", "10", &format!("http://{ADDRESS}:{port}{path}")])
    }

    /// The first answer on a published port, asked for from the outside until there is one: a service is started before
    /// it listens.
    ///
    /// # Panics
    /// When there is none within a bound.
    #[track_caller]
    #[must_use]
    pub fn answer_from_outside(&self, port: u16) -> String {
        let ask = || self.get_from_outside(port, "/");
        wait_for_outcome("an answer from outside", SOON, ask, |answer| answer.code == 0).stdout
    }

    /// What an HTTP request from this host itself brings, by 127.0.0.1.
    #[must_use]
    pub fn get(&self, port: u16, path: &str) -> Outcome {
        self.run("curl", &["-sS", "--max-time", "10", &format!("http://127.0.0.1:{port}{path}")])
    }

    /// Runs `work` on this host: what it reads below `/proc` and `/sys` is the host's.
    pub fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.with_machine(|machine| machine.namespaces.run(work))
    }

    /// Sends a signal to a process of this host, by its number there.
    pub fn kill(&self, pid: i64, signal: Signal) {
        self.run("kill", &["-s", &signal.as_raw().to_string(), &pid.to_string()]).ok();
    }

    /// The first process's number on the machine: what a person enters the host by.
    #[must_use]
    pub fn init(&self) -> i32 {
        self.with_machine(|machine| machine.guard.init.as_raw_nonzero().get())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = "ps -eo pid,ppid,stat,etimes,args; cd \"$1\" && for log in */*.log; do echo \"== $log\"; tail -n 60 \"$log\"; done";
            let script = ["-c", logs, "sh", &self.folder.path().display().to_string()];
            let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.run("sh", &script)));
            eprintln!(
                "{}",
                said.map_or_else(|_| "the logs can't be read".to_owned(), |outcome| outcome.stdout)
            );
        }
    }
}

/// The process that holds the namespaces and ends everything in them.
#[derive(Debug)]
struct Guard {
    child: Child,
    init: Pid,
}

impl Guard {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(beside_tests("throwaway-host"));
        command.arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("throwaway-host can be started");
        let mut first = String::new();
        let said = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut first));
        let init = first.trim().parse().ok().and_then(Pid::from_raw);
        Self { init: init.unwrap_or_else(|| panic!("throwaway-host didn't start: {said:?}")), child }
    }
}

impl Guard {
    /// Has it leave the folder when it ends.
    fn keep_folder(&mut self) {
        let said = self.child.stdin.as_mut().map(|stdin| stdin.write_all(b"keep"));
        said.expect("the guard has an input").expect("the guard runs");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The end of its standard input is the sign; it answers by ending when all is gone.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The binary under test: `HOIST_BIN`, or what `cargo build -p hoist` made beside the tests.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn binary() -> PathBuf {
    std::env::var_os("HOIST_BIN").map_or_else(|| beside_tests("hoist"), PathBuf::from)
}

/// A program of these tests.
///
/// # Panics
/// When it wasn't built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    beside_tests(name)
}

fn beside_tests(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let found = test.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("there is no {name} beside {}: run `cargo build --workspace --bins`", test.display())
    })
}

/// A `hoist` command line. Nothing of this test's own environment gets in, so that no variable decides the outcome.
pub(crate) fn hoist(root: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("--root").arg(root).args(words).stdin(Stdio::null());
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOIST_LOG"));
    command.env("HOME", "/root").current_dir("/");
    command
}

fn plain(program: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).current_dir("/");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}
