//! The state's disk is filled to its last byte at instants that a seed chooses, and freed again: everything that ran
//! runs, each command answers, those that need room say which disk is full, `stop`, `prune` and `down` work, and of the
//! logs nothing is missing but what they say is.
//!
//! `HOIST_FULL_DISK_SEED` repeats a run's choices, `HOIST_FULL_DISK_ROUNDS` says how often it is filled (10 without).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hoist_tests::command::Signal;
use hoist_tests::{Host, LATER, Outcome, Rng, SOON, Stack, eventually, wait_for};

const PORT: u16 = 8151;
/// How long a command may take on a full disk.
const ANSWER: Duration = Duration::from_secs(5);
const DAEMONS: [&str; 4] = ["nobody", "agent", "keeper", "dns"];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// The disk, and what is done to it.
struct Disk<'h> {
    host: &'h Host,
    stack: Stack<'h>,
}

impl Disk<'_> {
    fn mount(&self) {
        let root = self.stack.root().display();
        self.host.shell(&format!("mkdir {root} && mount -t tmpfs -o size=64m disk {root}")).ok();
    }

    /// To the last byte: in large pieces, then in small ones.
    fn fill(&self) {
        let root = self.stack.root().display();
        let fill =
            |name: &str, size: &str| format!("dd if=/dev/zero of={root}/{name} bs={size} 2>/dev/null; ");
        let _ = self.host.shell(&[fill("fill-1", "64k"), fill("fill-2", "1k"), fill("fill-3", "1")].concat());
    }

    fn free(&self) {
        let root = self.stack.root().display();
        self.host.shell(&format!("rm -f {root}/fill-*")).ok();
    }

    /// A command's answer, within the bound.
    #[track_caller]
    fn ask(&self, words: &[&str]) -> Outcome {
        let answer = self.stack.hoist(words);
        assert!(answer.took < ANSWER, "it took long: {answer}");
        answer
    }

    #[track_caller]
    fn refused(&self, words: &[&str]) {
        let answer = self.ask(words);
        let root = self.stack.root().display().to_string();
        assert!(answer.code != 0 && answer.stderr.contains(&root), "{answer}");
        assert!(answer.stderr.contains("full") && answer.stderr.contains("hint:"), "{answer}");
    }

    /// What must be possible without a byte of room.
    fn try_commands(&self, rng: &mut Rng) {
        assert_eq!(self.ask(&["ps", "-a"]).success().stdout.lines().count(), 5);
        self.ask(&["logs", "--tail", "3", "lines-a"]).ok();
        self.ask(&["agent", "status"]).ok();
        self.ask(&["config", "-q"]).ok();
        self.ask(&["exec", "-T", "web", "true"]).ok();
        self.host.get_from_outside(PORT, "/").ok();
        self.refused(&["up", "-d"]);
        self.refused(&["restart", "tried"]);
        if rng.below(3) == 0 {
            self.ask(&["stop", "tried"]).ok();
        }
        if rng.below(3) == 0 {
            let answer = self.host.hoist(&["system", "prune", "-f"]).success();
            assert!(answer.took < ANSWER, "{answer}");
        }
    }

    /// Kills one of the daemons, or none.
    fn kill(&self, which: usize) {
        let pids = self.stack.daemons();
        if let Some(pid) = which.checked_sub(1).map(|index| pids[index]) {
            self.host.kill(pid, Signal::KILL);
            // Starts another at once where the keeper takes its time, as the agent has died often. It may still meet
            // the one that was killed.
            let _ = self.host.hoist(&["image", "ls"]);
            let back = |pids: [i64; 3]| !pids.contains(&pid) && pids.iter().all(|pid| *pid != 0);
            let what = format!("{} comes back on a full disk", DAEMONS[which]);
            wait_for(&what, SOON, || {
                let status = self.stack.hoist(&["agent", "status", "--format", "json"]);
                let status: serde_json::Value = serde_json::from_str(status.text()).ok()?;
                back([0, 1, 2].map(|index| status["pids"][index].as_i64().unwrap_or(0))).then_some(())
            });
        }
    }
}

/// The processes of the services that nothing is done to.
fn untouched(stack: &Stack<'_>) -> Vec<(String, i64)> {
    let pids = stack.pids();
    let rows = stack.ps().into_iter().filter(|row| row.service != "tried");
    let pid = |id: &str| pids.iter().find(|(uid, _)| uid.starts_with(id)).map_or(0, |(_, pid)| *pid);
    rows.map(|row| (row.name, pid(&row.id))).collect()
}

/// Lines are 1, 2, 3 …; where some are missing, the log says how many bytes, and they are as many.
#[track_caller]
fn assert_says_what_is_missing(log: &str) -> (u64, u64) {
    let (mut last, mut missing, mut said) = (0_u64, 0_u64, 0_u64);
    let length = |number: u64| number.to_string().len() as u64 + 28;
    let mut pieces = 0_u64;
    for line in log.lines() {
        if let Some((lost, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(" bytes lost")) {
            said += lost.parse::<u64>().unwrap();
            continue;
        }
        let (number, rest) = line.split_once(' ').unwrap_or((line, ""));
        match number.parse::<u64>() {
            Ok(number) if rest == "abcdefghijklmnopqrstuvwxyz" && number > last => {
                missing += (last + 1..number).map(length).sum::<u64>();
                last = number;
            }
            // What was thrown away may begin and end within a line.
            _ => pieces += line.len() as u64 + 1,
        }
    }
    assert!(
        missing <= said + pieces,
        "{missing} bytes are missing, {said} are said to be, {pieces} in pieces"
    );
    (last, said)
}

#[test]
fn a_full_disk_ends_nothing() {
    let Some(host) = Host::with(&["dd"]) else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("HOIST_FULL_DISK_SEED").unwrap_or(u64::from(now.subsec_nanos()));
    let rounds = number("HOIST_FULL_DISK_ROUNDS").unwrap_or(10);
    println!("HOIST_FULL_DISK_SEED={seed} HOIST_FULL_DISK_ROUNDS={rounds}");
    let mut rng = Rng::new(seed);
    let stack = host.stack("full-disk");
    let disk = Disk { host: &host, stack: stack.clone() };
    disk.mount();
    stack.up(&[]).ok();
    let _ready = host.answer_from_outside(PORT);
    let before = untouched(&stack);
    for round in 0..rounds {
        // Something may be in the middle of a change.
        let under_way = (rng.below(2) == 0).then(|| stack.start(&["restart", "tried"]));
        std::thread::sleep(rng.milliseconds(400));
        disk.fill();
        let which = usize::try_from(rng.below(4)).unwrap();
        println!("round {round}: {} is killed", DAEMONS[which]);
        disk.kill(which);
        disk.try_commands(&mut rng);
        assert_eq!(untouched(&stack), before, "round {round}, while the disk is full");
        disk.free();
        if let Some(command) = under_way {
            // Its agent may have been killed.
            let _ = command.finish(LATER);
        }
        eventually("there is room again", SOON, || stack.hoist(&["up", "-d"]).code == 0);
        assert_eq!(untouched(&stack), before, "round {round}");
        assert!(stack.ps().iter().all(|row| row.state == "running"), "round {round}: {:?}", stack.ps());
    }
    for service in ["lines-a", "lines-b"] {
        let log = stack.logs(service);
        let (lines, lost) = assert_says_what_is_missing(&log);
        println!("{service}: {lines} lines, {lost} bytes are said to be lost");
    }
    disk.fill();
    stack.hoist(&["down", "-v"]).ok();
    disk.free();
    assert!(stack.hoist(&["ps", "-a"]).stdout.lines().count() <= 1);
}

/// Eight mebibytes are kept back on a larger disk; each change costs some of it, and when there is none, a sentence
/// says so.
#[test]
fn with_nothing_left_in_reserve_commands_still_answer() {
    let Some(host) = Host::with(&["dd"]) else { return };
    let stack = host.stack("full-disk");
    let disk = Disk { host: &host, stack: stack.clone() };
    disk.mount();
    stack.up(&[]).ok();
    let before = untouched(&stack);
    let reserve = stack.root().join("reserve").display().to_string();
    let is_left = || host.shell(&format!("ls {reserve} | grep -q .")).code == 0;
    eventually("room is kept back", SOON, is_left);
    while is_left() {
        disk.fill();
        host.shell(&format!("rm -f {reserve}/*")).ok();
        disk.fill();
    }
    // Files that are there may have some room left.
    let answer = disk.ask(&["stop", "tried"]);
    assert!(answer.code == 0 || answer.stderr.contains("full"), "{answer}");
    disk.ask(&["ps"]).ok();
    disk.free();
    wait_for("it is stopped once there is room", LATER, || {
        (stack.hoist(&["stop", "tried"]).code == 0).then_some(())
    });
    assert_eq!(untouched(&stack), before);
    stack.down().ok();
}
