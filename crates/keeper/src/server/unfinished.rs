//! Launches that a killed keeper left unfinished.

use std::collections::HashSet;
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::boot_ns;

/// How long a launch may take to decide whether it goes on, on a machine under heavy load.
const PATIENCE_NS: u64 = 2_000_000_000;

/// Waits until a process has ended or something else is so, for a bounded time.
pub(super) fn wait(pidfd: BorrowedFd<'_>, is_so: impl Fn() -> bool) {
    let deadline = boot_ns() + PATIENCE_NS;
    let moment = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    while !is_so() && boot_ns() < deadline {
        // It may have become so right before its end.
        if poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&moment)).is_ok_and(|ready| ready > 0) {
            return;
        }
    }
}

/// A process may fork between being listed and being killed; each round is later than all it listed.
const ROUNDS: usize = 16;

/// Kills every process of an instance's control groups. Returns how many there were.
///
/// The groups belong to that instance alone, so a process that is listed is one of it; that its number
/// could go to another between listing and killing takes a full turn of the kernel's numbers.
pub(super) fn end(cgroup_dirs: &[PathBuf]) -> usize {
    let mut seen = HashSet::new();
    for _ in 0..ROUNDS {
        let listed: HashSet<Pid> = cgroup_dirs.iter().flat_map(|dir| processes(dir)).collect();
        if listed.is_subset(&seen) {
            break;
        }
        for pid in &listed {
            let _ = kill_process(*pid, Signal::KILL);
        }
        seen.extend(listed);
    }
    seen.len()
}

fn processes(dir: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    // 0 stands for processes of another PID namespace, which we are never in.
    text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
}
