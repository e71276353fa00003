//! Another program in the same process.

use hoist_keeper::protocol::{Phase, Refusal, Reply, Request};
use hoist_keeper::{StdioKind, WindowSize};
use hoist_runtime::identity::Exit;

use crate::Test;
use crate::host::Host;

pub const TESTS: &[Test] = &[
    ("an_upgrade_keeps_children_descriptors_and_output", upgrade),
    ("an_upgrade_to_nothing_changes_nothing", failed_upgrade),
];

fn request(host: &Host) -> Request {
    let program = std::env::current_exe().unwrap();
    let root = host.dir.path().to_str().unwrap().to_owned();
    Request::Upgrade { program, args: vec!["hoist".into(), "keeper".into(), root] }
}

fn upgrade() {
    let mut host = Host::new();
    let script = "i=0; trap stop=1 TERM
        while [ -z \"$stop\" ]; do echo $i; i=$((i+1)); done; echo $i >&2; exit 8";
    host.launch("web", script);
    let mut cat = host.shell("cat", "cat; echo end");
    cat.stdio.kind = StdioKind::Pipes { stdin: true };
    host.launch_as(cat);
    let mut tty = host.shell("tty", "read line; echo got $line; sleep 1000");
    tty.stdio.kind = StdioKind::Terminal(WindowSize { rows: 3, columns: 4 });
    tty.spec.process_mut().as_mut().unwrap().set_terminal(Some(true));
    host.launch_as(tty);
    let master = host.spawned("tty").swap_remove(2);
    let (read, write) = rustix::pipe::pipe().unwrap();
    host.ask(Request::Hold { name: "ports".into() }, vec![read, write]);
    let before = host.keeper_pid();
    for _ in 0..10 {
        let upgrade = request(&host);
        assert!(host.agent.as_mut().unwrap().call(upgrade, Vec::new()).is_err(), "the connection ends");
        host.connect();
    }
    assert_eq!(host.keeper_pid(), before);
    assert_eq!(host.phase("web"), Some(Phase::Running));
    let (reply, fds) = host.ask(Request::Take { name: "ports".into() }, Vec::new());
    assert_eq!((reply, fds.len()), (Reply::Taken, 2));
    rustix::io::write(&master, b"it\n").unwrap();
    host.wait_line("tty", "got it");
    // Still a child: any kernel tells how it ended.
    assert_eq!(host.children(), 3);
    assert_eq!(host.lines("cat"), [""; 0], "its stdin stayed open");
    host.signal("web", libc::SIGTERM);
    assert_eq!(host.exit("web").exit, Exit::Code(8));
    let lines = host.lines("web");
    assert_eq!(lines.last().unwrap(), &(lines.len() - 1).to_string());
    assert!(lines.iter().take(lines.len() - 1).enumerate().all(|(at, line)| *line == at.to_string()));
}

fn failed_upgrade() {
    let mut host = Host::new();
    host.launch("web", "sleep 1000");
    let upgrade = Request::Upgrade { program: "/no/such/program".into(), args: vec!["x".into()] };
    let (reply, _) = host.ask(upgrade, Vec::new());
    assert!(matches!(reply, Reply::Refused { why: Refusal::System, .. }), "{reply:?}");
    assert_eq!(host.phase("web"), Some(Phase::Running));
}
