//! The keeper as a process: alone, clean, small, and hard to end by mistake.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use hoist_keeper::client;
use hoist_keeper::protocol::frame::{Packet, receive};
use hoist_keeper::protocol::{Hello, Message, Numbered, Phase, Refusal, Reply, Request, Versions};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
use rustix::process::{Pid, Signal, kill_process};
use std::os::fd::{AsFd, AsRawFd};

use crate::Test;
use crate::host::{Host, eventually};

pub const TESTS: &[Test] = &[
    ("there_is_one_keeper_a_folder", one_keeper),
    ("it_leaves_the_surroundings_it_was_started_in", surroundings),
    ("its_program_can_not_be_written_through_it", sealed),
    ("containers_get_limits_as_they_were", inherited),
    ("signals_do_not_end_it", signals),
    ("it_shuts_down_only_when_nothing_runs", shutdown),
    ("it_is_small_and_stays_small", small),
    ("strangers_and_nonsense_are_refused", nonsense),
    ("a_socket_with_a_long_path_works", long_path),
];

fn proc_file(host: &Host, name: &str) -> String {
    fs::read_to_string(format!("/proc/{}/{name}", host.keeper_pid())).unwrap()
}

fn one_keeper() {
    let host = Host::new();
    let second = host.command().output().unwrap();
    assert_eq!(second.status.code(), Some(3));
    let error = fs::read_to_string(host.path("error")).unwrap();
    assert!(error.contains("a keeper runs already"), "{error}");
}

fn surroundings() {
    let mut host = Host::new();
    host.kill_keeper();
    let (stray, _other_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::empty()).unwrap();
    let mut command = host.command();
    let mut keeper = command.env("SECRET", "x").stdout(Stdio::piped()).spawn().unwrap();
    drop(stray);
    host.connect();
    let of = |name: &str| format!("/proc/{}/{name}", keeper.id());
    assert_eq!(fs::read_link(of("cwd")).unwrap().to_str(), Some("/"));
    let stat = fs::read_to_string(of("stat")).unwrap();
    let session = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned();
    assert_eq!(session, keeper.id().to_string());
    let opened: Vec<String> = fs::read_dir(of("fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .map(|target| target.display().to_string())
        .collect();
    // The two it made to peek into pipes.
    assert_eq!(opened.iter().filter(|target| target.starts_with("pipe:")).count(), 2, "{opened:?}");
    assert_eq!(fs::read_to_string(of("comm")).unwrap(), "hoist-keeper\n");
    assert_eq!(fs::metadata(host.path("keeper.sock")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(host.path("state")).unwrap().mode() & 0o777, 0o700);
    keeper.kill().unwrap();
    keeper.wait().unwrap();
}

fn sealed() {
    let mut host = Host::new();
    host.kill_keeper();
    // A program of its own: this one is busy, which the kernel protects as well.
    let program = host.path("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut keeper = std::process::Command::new(&program).arg("keeper").arg(host.dir.path()).spawn().unwrap();
    host.connect();
    let seen = fs::File::open(format!("/proc/{}/exe", keeper.id())).unwrap();
    keeper.kill().unwrap();
    keeper.wait().unwrap();
    // It runs the same program, and a busy one is refused for that reason.
    host.end_holder();
    let again = format!("/proc/self/fd/{}", seen.as_raw_fd());
    let writing = fs::OpenOptions::new().write(true).open(again);
    assert_eq!(writing.unwrap_err().raw_os_error(), Some(libc::EROFS));
    assert!(fs::OpenOptions::new().write(true).open(program).is_ok(), "only through the keeper");
}

fn inherited() {
    let mut host = Host::new();
    host.launch("web", "cat /proc/self/oom_score_adj; ulimit -Sn; env");
    host.exit("web");
    let lines = host.lines("web");
    let ours = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap();
    assert_eq!(lines[..2], [ours.trim().to_owned(), limit.to_string()]);
}

fn signals() {
    let mut host = Host::new();
    host.launch("web", "sleep 1000");
    let keeper = Pid::from_raw(i32::try_from(host.keeper_pid()).unwrap()).unwrap();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::PIPE, Signal::USR1] {
        kill_process(keeper, signal).unwrap();
    }
    assert_eq!(host.phase("web"), Some(Phase::Running));
    eventually("it is in the diary", || {
        fs::read_to_string(host.path("diary")).unwrap().contains("SIGTERM").then_some(())
    });
}

fn shutdown() {
    let mut host = Host::new();
    host.launch("web", "sleep 1000");
    let (reply, _) = host.ask(Request::Shutdown { force: false }, Vec::new());
    assert!(matches!(reply, Reply::Refused { why: Refusal::State, .. }), "{reply:?}");
    host.done(Request::Shutdown { force: true });
    assert!(host.wait_keeper().success());
    host.start();
    host.connect();
    assert_eq!(host.phase("web"), Some(Phase::Running), "it ran on");
    host.signal("web", libc::SIGKILL);
    host.exit("web");
    host.done(Request::Shutdown { force: false });
    assert!(host.wait_keeper().success());
    assert!(!host.path("keeper.sock").exists());
}

fn resident(host: &Host) -> u64 {
    let status = proc_file(host, "status");
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    };
    // What it alone costs: a file's pages are shared with agent and dns, and go when memory is short.
    field("RssAnon:") + field("RssShmem:")
}

fn small() {
    const CONTAINERS: u64 = 40;
    let mut host = Host::new();
    let before = resident(&host);
    for number in 0..CONTAINERS {
        host.launch(&format!("web-{number}"), "while :; do echo some line of output; sleep 0.05; done");
    }
    host.wait_line("web-39", "some line");
    let after = resident(&host);
    println!("keeper: {before} kB, with {CONTAINERS} containers {after} kB");
    assert!(before < 2048, "{before} kB");
    assert!((after - before) / CONTAINERS < 50, "{} kB each", (after - before) / CONTAINERS);
}

fn nonsense() {
    let mut host = Host::new();
    let raw = || {
        let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(host.path("keeper.sock")).unwrap()).unwrap();
        socket
    };
    let answer = |message: &serde_json::Value| {
        let socket = raw();
        Packet::new(message, Vec::new()).unwrap().send(socket.as_fd()).unwrap();
        let frame = receive(socket.as_fd()).unwrap().unwrap();
        match serde_json::from_slice::<Message>(&frame.bytes).unwrap() {
            Message::Reply { id, reply: Reply::Refused { why, .. } } => (id, why),
            other => panic!("{other:?}"),
        }
    };
    let hello = |oldest, newest| {
        let hello = Hello { versions: Versions { oldest, newest }, agent: false };
        serde_json::to_value(Numbered { id: 5, request: Request::Hello(hello) }).unwrap()
    };
    assert_eq!(answer(&hello(1000, 1001)), (5, Refusal::Version));
    assert_eq!(answer(&serde_json::json!({ "id": 6, "request": "list" })), (6, Refusal::Malformed));
    assert_eq!(answer(&serde_json::json!({ "id": 7, "request": { "dance": {} } })), (7, Refusal::Malformed));
    assert_eq!(answer(&serde_json::json!("?")), (0, Refusal::Malformed));
    let socket = raw();
    rustix::net::send(&socket, &[9, 9], rustix::net::SendFlags::empty()).unwrap();
    assert!(receive(socket.as_fd()).unwrap().is_none(), "hung up on");
    assert_eq!(host.phase("web"), None);
}

fn long_path() {
    let mut host = Host::new();
    host.kill_keeper();
    let deep = host.path(&"deep/".repeat(30));
    fs::create_dir_all(&deep).unwrap();
    let exe = std::env::current_exe().unwrap();
    let mut keeper = std::process::Command::new(exe).arg("keeper").arg(&deep).spawn().unwrap();
    let socket = deep.join("keeper.sock");
    eventually("a keeper answers", || client::connect_as_guest(&socket).ok());
    keeper.kill().unwrap();
    keeper.wait().unwrap();
}
