//! What Hoist's own processes take: memory and threads.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::place::Root;

/// Agent, keeper and name server.
pub(super) struct Daemons(pub(super) Vec<(&'static str, Usage)>);

pub(super) struct Usage {
    /// In KiB: all of it, and its share of what it has in common with others.
    pub(super) resident: u64,
    pub(super) proportional: u64,
    pub(super) threads: u64,
}

impl Daemons {
    /// As they are now; none when one of them doesn't run.
    pub(super) fn look(root: &Root<'_>) -> Option<Self> {
        let usages = processes(root)?.map(usage);
        let named = ["agent", "keeper", "dns"].into_iter().zip(usages);
        named.map(|(name, usage)| Some((name, usage?))).collect::<Option<_>>().map(Self)
    }
}

/// The three process ids that the agent's status has.
fn processes(root: &Root<'_>) -> Option<[u32; 3]> {
    let status = root.status();
    let (_, after) = status.split_once("\"pids\":[")?;
    let numbers: Vec<u32> =
        after.split(']').next()?.split(',').filter_map(|number| number.parse().ok()).collect();
    numbers.try_into().ok()
}

fn usage(process: u32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    Some(Usage {
        resident: field(&status, "VmRSS:")?,
        proportional: field(&rollup, "Pss:")?,
        threads: field(&status, "Threads:")?,
    })
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Counts an agent's threads from time to time.
pub(super) struct Threads {
    ended: Arc<AtomicBool>,
    watcher: JoinHandle<usize>,
}

impl Threads {
    pub(super) fn watch(root: &Root<'_>) -> Self {
        let agent = processes(root).map_or(0, |[agent, ..]| agent);
        let ended = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&ended);
        let watcher = thread::spawn(move || {
            let mut most = 0;
            while !watched.load(Ordering::Relaxed) {
                let now = fs::read_dir(format!("/proc/{agent}/task")).map_or(0, Iterator::count);
                most = most.max(now);
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        Self { ended, watcher }
    }

    pub(super) fn most(self) -> usize {
        self.ended.store(true, Ordering::Relaxed);
        self.watcher.join().unwrap_or(0)
    }
}
