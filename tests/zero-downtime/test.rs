//! Redeploys that nobody notices: one replica on a fixed host port, under load, without a lost request.
//!
//! `HOIST_REDEPLOYS=190` (and more) makes the first test as long as one likes, `HOIST_DRAIN=10s` each drain.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hoist_tests::command::{Running, Signal};
use hoist_tests::host::ADDRESS;
use hoist_tests::{Host, LATER, SOON, Stack, eventually};

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");
const KINDS: [&str; 4] = ["new", "keep", "slow", "download"];

/// Clients that ask until a file is there.
struct Load<'h> {
    host: &'h Host,
    stop: std::path::PathBuf,
    clients: Vec<(String, Running)>,
}

impl<'h> Load<'h> {
    fn new(host: &'h Host) -> Self {
        Self { host, stop: host.folder().join("stop"), clients: Vec::new() }
    }

    fn client(&mut self, name: &str, mut command: Command) {
        command.stdin(Stdio::null());
        self.clients.push((name.to_owned(), self.host.start(command)));
    }

    /// From this host by 127.0.0.1 and `::1`, and from another one.
    fn everywhere(&mut self) {
        self.translated();
        let words = load("new", "::1", 8090, &self.stop);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        self.client("new from ::1", command);
    }

    /// From this host by 127.0.0.1, and from another one: the server has IPv4 only, so what comes by `::1` passes through
    /// the agent, and so do commands in a service.
    fn translated(&mut self) {
        let outside = ADDRESS.to_string();
        for kind in KINDS {
            for (from, address) in [("localhost", "127.0.0.1"), ("outside", outside.as_str())] {
                let words = load(kind, address, 8090, &self.stop);
                let words = if from == "outside" {
                    [&["ip", "netns", "exec", "outside"].map(str::to_owned)[..], &words].concat()
                } else {
                    words
                };
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]);
                self.client(&format!("{kind} from {from}"), command);
            }
        }
    }

    /// From another service, by the service's name.
    fn within(&mut self, stack: &Stack<'_>) {
        for kind in ["new", "keep"] {
            let words = load(kind, "web", 8000, Path::new("/tmp/stop"));
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let words = [&["exec", "-T", "caller"], &words[..]].concat();
            self.client(&format!("{kind} from a service"), stack.command(&words));
        }
    }

    /// What became of all requests: none failed; how many were asked again.
    fn end(self, stack: &Stack<'_>) -> u32 {
        std::fs::write(&self.stop, "").expect("the host's folder can be written");
        stack.hoist(&["exec", "-T", "caller", "touch", "/tmp/stop"]).ok();
        let mut retried = 0;
        let mut lost = String::new();
        for (name, client) in self.clients {
            let outcome = client.finish(SOON);
            let last = outcome.text().lines().last().unwrap_or_default().to_owned();
            eprintln!("{name}: {last}");
            let number = |what: &str| -> Option<u32> {
                last.split(", ").find_map(|part| part.strip_prefix(what))?.trim().parse().ok()
            };
            retried += number("retried ").unwrap_or(0);
            if number("requests ").is_none_or(|count| count == 0) || number("failed ") != Some(0) {
                lost += &format!("{name}: {outcome}\n");
            }
        }
        assert!(lost.is_empty(), "{lost}");
        retried
    }
}

fn load(kind: &str, address: &str, port: u16, stop: &Path) -> Vec<String> {
    let program = if address == "web" { "load.pl".to_owned() } else { format!("{PROGRAMS}/load.pl") };
    ["perl", &program, kind, address, &port.to_string(), &stop.display().to_string()]
        .map(str::to_owned)
        .to_vec()
}

/// The same files by another path: another image, as far as anybody can tell.
fn second_image(host: &Host) -> String {
    let folder = host.folder().join("image");
    std::fs::create_dir(&folder).expect("the host's folder can be written");
    host.run("mount", &["--bind", "/", &folder.display().to_string()]).ok();
    folder.display().to_string()
}

/// When the next redeploy comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// At once, which ends the drain of the last one.
    AtOnce,
    /// When the old instance has gone.
    Drained,
}

/// Redeploys with a changed environment, image and config by turns; each answers as soon as `up` returns.
fn redeploy(host: &Host, stack: &Stack<'_>, times: usize, pace: Pace) {
    let images = [second_image(host), "/".to_owned()];
    let mut stack = stack.clone();
    let mut text = "one".to_owned();
    for n in 0..times {
        match n % 3 {
            0 => {
                text = format!("text-{n}");
                stack = stack.with("TEXT", &text);
            }
            1 => stack = stack.with("IMAGE", &images[n / 3 % 2]),
            _ => stack = stack.with("NOTE", &format!("note-{n}")),
        }
        stack.up(&["web"]).ok();
        assert_eq!(host.get(8090, "/").success().text(), text, "redeploy {n}");
        if pace == Pace::Drained {
            stack.wait_for_drains();
        }
    }
}

#[test]
fn no_request_is_lost_while_one_replica_is_redeployed() {
    let Some(host) = Host::new() else { return };
    let drain = std::env::var("HOIST_DRAIN").unwrap_or_else(|_| "1s".to_owned());
    let stack = host.stack("zero-downtime").with("DRAIN_SIGNAL", "SIGUSR1").with("DRAIN", &drain);
    stack.up(&[]).ok();
    assert_eq!(host.answer_from_outside(8090), "one\n");
    let mut load = Load::new(&host);
    load.everywhere();
    load.within(&stack);
    let times = std::env::var("HOIST_REDEPLOYS").ok().and_then(|times| times.parse().ok()).unwrap_or(9);
    redeploy(&host, &stack, times, Pace::Drained);
    let retried = load.end(&stack);
    // The server says in its answers that it closes: nobody comes upon a closed connection.
    assert_eq!(retried, 0);
    let left = || stack.ps().iter().filter(|row| row.service == "web").count() == 1;
    eventually("the old instances to be gone", SOON, left);
    stack.down().ok();
}

#[test]
fn a_server_that_is_told_nothing_loses_nothing_either() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("zero-downtime");
    stack.up(&[]).ok();
    assert_eq!(host.answer_from_outside(8090), "one\n");
    let mut load = Load::new(&host);
    load.everywhere();
    redeploy(&host, &stack, 4, Pace::AtOnce);
    load.end(&stack);
    stack.down().ok();
}

#[test]
fn a_bad_revision_leaves_the_old_one_in_service() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("zero-downtime");
    stack.up(&[]).ok();
    assert_eq!(host.answer_from_outside(8090), "one\n");
    let mut load = Load::new(&host);
    load.everywhere();
    let bad = host.stack("zero-downtime/bad.yaml");
    let outcome = bad.hoist(&["up", "-d", "web"]).ended_with(1);
    assert!(outcome.stderr.contains("the one before it goes on serving"), "{outcome}");
    assert_eq!(host.get(8090, "/").success().text(), "one");
    stack.with("TEXT", "two").up(&["web"]).ok();
    assert_eq!(host.get(8090, "/").success().text(), "two");
    load.end(&stack);
    stack.down().ok();
}

#[test]
fn an_instance_ends_its_drain_early_when_nobody_is_connected() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("zero-downtime").with("DRAIN", "1h");
    stack.up(&[]).ok();
    assert_eq!(host.answer_from_outside(8090), "one\n");
    stack.with("TEXT", "two").up(&["web"]).ok();
    let rows = || stack.ps().into_iter().filter(|row| row.service == "web").count();
    eventually("the idle instance to go", SOON, || rows() == 1);
    stack.down().ok();
}

#[test]
fn an_instance_drains_while_somebody_is_connected_and_no_longer_than_it_may() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("zero-downtime").with("DRAIN", "4s");
    stack.up(&[]).ok();
    assert_eq!(host.answer_from_outside(8090), "one\n");
    // Connected, and silent.
    let hold = "exec 3<>/dev/tcp/127.0.0.1/8090; read -t 60 -u 3 line; echo closed";
    let mut command = Command::new("bash");
    command.args(["-c", hold]).stdin(Stdio::null());
    let held = host.start(command);
    eventually("the connection", SOON, || {
        host.shell("ss -Htn state established dport = 8090").stdout.contains("8090")
    });
    stack.with("TEXT", "two").up(&["web"]).ok();
    let draining = || stack.ps().iter().any(|row| row.status.contains("(draining)"));
    assert!(draining(), "{:?}", stack.ps());
    assert_eq!(held.stdout(), "");
    held.wait_for_output("closed", SOON);
    eventually("the old instance to go", SOON, || !draining());
    let took = held.finish(Duration::from_secs(5)).took;
    assert!(took > Duration::from_secs(3), "it was cut off after {took:?}");
    stack.down().ok();
}

/// It stops first, since old and new would write to one volume. Whoever connects meanwhile waits, and is refused nowhere.
#[test]
fn connections_wait_while_an_instance_with_a_volume_is_replaced() {
    let Some(host) = Host::new() else { return };
    // Half a second without anybody, at least.
    let stack = host.stack("zero-downtime/volume.yaml").with("REST", "0.5");
    stack.up(&[]).ok();
    assert_eq!(host.answer_from_outside(8090), "one\n");
    let mut load = Load::new(&host);
    load.everywhere();
    load.within(&stack);
    for text in ["two", "three"] {
        stack.with("TEXT", text).up(&["web"]).ok();
        assert_eq!(host.get(8090, "/").success().text(), text);
    }
    stack.with("TEXT", "three").hoist(&["restart", "web"]).ok();
    assert_eq!(host.get(8090, "/").success().text(), "three");
    load.end(&stack);
    stack.down().ok();
}

/// From localhost, from another host, and from a service; each socket is one flow from the first redeploy to the last.
#[test]
fn no_datagram_is_lost_while_one_replica_is_redeployed() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("zero-downtime/udp.yaml");
    stack.up(&[]).ok();
    let mut load = Load::new(&host);
    let (outside, stop) = (ADDRESS.to_string(), load.stop.display().to_string());
    let program = format!("{PROGRAMS}/udp.pl");
    for (name, before, address) in
        [("localhost", &[][..], "127.0.0.1"), ("outside", &["ip", "netns", "exec", "outside"], &outside)]
    {
        let words = [before, &["perl", &program, "ask", address, "8090", &stop]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        load.client(&format!("datagrams from {name}"), command);
    }
    let words = ["exec", "-T", "caller", "perl", "udp.pl", "ask", "web", "8000", "/tmp/stop"];
    load.client("datagrams from a service", stack.command(&words));
    for text in ["two", "three", "four", "five"] {
        stack.with("TEXT", text).up(&["web"]).ok();
    }
    stack.wait_for_drains();
    load.end(&stack);
    stack.down().ok();
}

#[test]
fn connections_wait_when_the_agent_is_killed_meanwhile() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("zero-downtime/volume.yaml").with("REST", "2");
    stack.up(&[]).ok();
    assert_eq!(host.answer_from_outside(8090), "one\n");
    let mut load = Load::new(&host);
    load.translated();
    // It returns when the new instance runs, which rests for a while before it listens.
    stack.with("TEXT", "two").up(&["web"]).ok();
    host.kill(stack.daemons()[0], Signal::KILL);
    assert_eq!(host.get(8090, "/").success().text(), "two");
    load.end(&stack);
    stack.down().ok();
}

#[test]
fn connections_wait_no_longer_than_the_file_says() {
    let Some(host) = Host::new() else { return };
    let stack = host.stack("zero-downtime/volume.yaml").with("HOLD", "1s");
    stack.up(&[]).ok();
    assert_eq!(host.answer_from_outside(8090), "one\n");
    let ids = || -> Vec<String> {
        stack.ps().into_iter().filter(|row| row.service == "web").map(|row| row.id).collect()
    };
    let old = ids();
    let next = stack.with("TEXT", "two").with("REST", "4");
    let up = next.start(&["up", "-d", "web"]);
    eventually("the old instance to go", SOON, || !ids().contains(&old[0]));
    // It waits for a second, and is refused while the new one still rests.
    let asked = host.shell("bash -c 'exec 3<>/dev/tcp/127.0.0.1/8090' 2>&1");
    assert!(asked.stdout.contains("refused"), "{asked}");
    up.finish(LATER).ok();
    assert_eq!(host.answer_from_outside(8090), "two\n");
    next.down().ok();
}
