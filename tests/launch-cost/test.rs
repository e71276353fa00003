//! A start costs a number of system calls that is known, and no thread that stays.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hoist_tests::{Host, Running, SOON, Stack, eventually};
use rustix::process::Signal;

/// Instances that are started, as the stack file has it.
const INSTANCES: usize = 20;

/// System calls for one of them, the keeper's with those of the child that becomes the program. A change that needs more
/// says so here and in `docs/performance.md`. The room above what was measured is for what depends on the machine: its
/// hierarchies of control groups, and how events fall together.
const KEEPER: usize = 470;
const AGENT: usize = 420;

/// Not counted: how often threads meet at a lock is chance, and a debug build asks about each descriptor that it closes.
/// Nor are writes that failed: the kernel begins those of network settings anew for as long as another has its lock.
const LEFT_OUT: [&str; 2] = ["futex", "fcntl"];

/// Threads of the agent, however many instances start at once: tokio's workers, and those that wait for the kernel,
/// of which there is a handful for each processor; the four beyond what was once measured (28 on two processors) wait for
/// the flows of removed instances to end and look at sockets.
fn most_threads() -> usize {
    16 + 8 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// A root file system of one program.
fn rootfs(host: &Host) -> Option<PathBuf> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.is_file());
    let Some(busybox) = busybox else {
        hoist_tests::skip::skipped("busybox-static is not installed");
        return None;
    };
    let rootfs = host.folder().join("rootfs");
    for folder in ["bin", "dev", "proc", "sys"] {
        fs::create_dir_all(rootfs.join(folder)).expect("a folder can be made");
    }
    fs::copy(busybox, rootfs.join("bin/busybox")).expect("busybox can be copied");
    symlink("busybox", rootfs.join("bin/sleep")).expect("a link can be made");
    Some(rootfs)
}

/// The stack with its first service up, and the processes of agent and keeper.
fn begun<'h>(host: &'h Host, rootfs: &Path) -> (Stack<'h>, [i64; 2]) {
    let stack = host.stack("launch-cost").with("ROOTFS", &rootfs.display().to_string());
    stack.up(&["first"]);
    let status = host.hoist(&["agent", "status", "--format", "json"]).success();
    let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("the status is JSON");
    let pid = |place: usize| status["pids"][place].as_i64().expect("a process id");
    (stack, [pid(0), pid(1)])
}

/// Counts the system calls of a process, its threads and its children.
struct Trace {
    strace: Running,
    table: PathBuf,
}

impl Trace {
    fn start(host: &Host, name: &str, pid: i64) -> Self {
        let table = host.folder().join(format!("{name}.calls"));
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-p", &pid.to_string(), "-o"]).arg(&table).stdin(Stdio::null());
        let strace = host.start(strace);
        eventually("strace is attached", SOON, || strace.stderr().contains("attached"));
        Self { strace, table }
    }

    fn calls(self) -> usize {
        self.strace.signal(Signal::INT);
        let _ = self.strace.finish(SOON);
        let table = fs::read_to_string(&self.table).expect("strace has written its table");
        println!("{table}");
        // % time, seconds, usecs/call, calls, errors if there were any, name.
        let row = |line: &str| -> Option<usize> {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = words.last()?;
            let calls: usize = words.get(3)?.parse().ok()?;
            let begun_anew =
                if *name == "write" && words.len() == 6 { words.get(4)?.parse().ok()? } else { 0 };
            (!LEFT_OUT.contains(name) && *name != "total").then_some(calls - begun_anew)
        };
        table.lines().filter_map(row).sum()
    }
}

#[test]
fn an_instance_costs_so_many_system_calls() {
    let Some(host) = Host::with(&["strace"]) else { return };
    let Some(rootfs) = rootfs(&host) else { return };
    let (stack, [agent, keeper]) = begun(&host, &rootfs);
    let traces = [Trace::start(&host, "agent", agent), Trace::start(&host, "keeper", keeper)];
    stack.up(&["many"]);
    let [agent, keeper] = traces.map(|trace| trace.calls() / INSTANCES);
    println!("calls for one instance: agent {agent}, keeper {keeper}");
    assert!(agent <= AGENT, "the agent makes {agent} system calls for an instance; {AGENT} are known of");
    assert!(
        keeper <= KEEPER,
        "the keeper makes {keeper} system calls for an instance; {KEEPER} are known of"
    );
    stack.down();
}

#[test]
fn the_agents_threads_are_bounded() {
    let Some(host) = Host::new() else { return };
    let Some(rootfs) = rootfs(&host) else { return };
    let (stack, [agent, _]) = begun(&host, &rootfs);
    let counting = format!(
        "most=0
        while :; do
            set -- /proc/{agent}/task/*
            [ $# -gt $most ] && most=$# && echo $most
            sleep 0.005
        done"
    );
    let mut counter = Command::new("sh");
    counter.args(["-c", &counting]).stdin(Stdio::null());
    let counter = host.start(counter);
    for replicas in ["many=20", "many=60"] {
        stack.up(&["--scale", replicas]);
    }
    let most = counter.stdout().lines().filter_map(|line| line.parse().ok()).max().unwrap_or(0);
    println!("threads of the agent: {most}");
    assert!((3..=most_threads()).contains(&most), "{most} threads; {} are known of", most_threads());
    stack.down();
}
