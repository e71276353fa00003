//! Ends everything below a process, however deep, in whatever session or process group.
//!
//! For probes, whose first process adopts what is orphaned below it (`init` of an exec): so all they make stays below
//! it, and it reaps what is ended here. The order matters to that: the program itself goes last, since its reaper goes
//! with it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Looks that are taken until nobody new is found.
const LOOKS: usize = 64;
/// How long the killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// A process as `/proc/PID/stat` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    parent: i32,
    /// Ticks since boot, proc_pid_stat(5), field 22.
    started: u64,
}

/// Kills all below `root`, not `root` itself. Blocks until they are gone, for a second or two at most.
pub(crate) fn end(root: i32) {
    let program = first_child(root);
    let mut stopped: BTreeMap<i32, OwnedFd> = BTreeMap::new();
    // What is stopped makes nothing new, so each look finds less.
    for _ in 0..LOOKS {
        let fresh: Vec<i32> = below(root).into_iter().filter(|pid| !stopped.contains_key(pid)).collect();
        if fresh.is_empty() {
            break;
        }
        stopped.extend(hold(root, &fresh));
    }
    let last = program.and_then(|pid| stopped.remove(&pid));
    kill_and_wait(stopped.values());
    kill_and_wait(last.iter());
}

/// Stops processes. A number read from a list may mean another process by now, so the descriptor is taken first, and the
/// list read again.
fn hold(root: i32, pids: &[i32]) -> Vec<(i32, OwnedFd)> {
    let open = |pid: &i32| Some((*pid, pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok()?));
    let mut opened: Vec<(i32, OwnedFd)> = pids.iter().filter_map(open).collect();
    let still = below(root);
    opened.retain(|(pid, fd)| still.contains(pid) && pidfd_send_signal(fd, Signal::STOP).is_ok());
    opened
}

fn kill_and_wait<'f>(processes: impl Iterator<Item = &'f OwnedFd> + Clone) {
    for fd in processes.clone() {
        let _ = pidfd_send_signal(fd, Signal::KILL);
    }
    let deadline = Instant::now() + PATIENCE;
    for fd in processes {
        let rest = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
        // Readable once it has ended, pidfd_open(2).
        let _ = poll(&mut [PollFd::new(fd, PollFlags::IN)], rest.as_ref());
    }
}

/// The oldest child: what is adopted later is younger, or was at least listed later.
fn first_child(root: i32) -> Option<i32> {
    let all = processes();
    let children = all.iter().filter(|(_, seen)| seen.parent == root);
    children.min_by_key(|(pid, seen)| (seen.started, **pid)).map(|(pid, _)| *pid)
}

fn below(root: i32) -> Vec<i32> {
    let all = processes();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, seen)| seen.parent == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// Every process but zombies.
fn processes() -> BTreeMap<i32, Seen> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

/// The name, in parentheses, may hold anything; the last one closes it.
fn parse(stat: &[u8]) -> Option<Seen> {
    let rest = &stat[stat.iter().rposition(|byte| *byte == b')')? + 1..];
    let fields: Vec<&str> = std::str::from_utf8(rest).ok()?.split_ascii_whitespace().collect();
    let (state, parent, started) = (fields.first()?, fields.get(1)?, fields.get(19)?);
    let ended = matches!(*state, "Z" | "X");
    (!ended).then_some(Seen { parent: parent.parse().ok()?, started: started.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = b"7 (a) R 1 (b) S 5 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0";
        assert_eq!(parse(line), Some(Seen { parent: 5, started: 4242 }));
        let zombie = b"7 (a) Z 5 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0";
        assert_eq!(parse(zombie), None);
    }

    /// Whatever makes more while it is looked for, and what leads a session of its own.
    #[test]
    fn everything_below_ends_and_what_is_beside_stays() {
        let script = "setsid sleep 977 & (while :; do sleep 0.01; done) & sleep 977 & echo made; wait";
        let mut root = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut beside = Command::new("sleep").arg("977").spawn().unwrap();
        BufReader::new(root.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        let pid = i32::try_from(root.id()).unwrap();
        assert!(below(pid).len() >= 3);
        end(pid);
        root.wait().unwrap();
        assert!(below(pid).is_empty());
        assert!(beside.try_wait().unwrap().is_none());
        beside.kill().unwrap();
        beside.wait().unwrap();
    }
}
