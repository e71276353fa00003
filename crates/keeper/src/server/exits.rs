//! How processes end.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use hoist_runtime::cgroup::oom_kills_below;
use hoist_runtime::identity::{Exit, ExitInfo, ProcessIdentity, exit_info};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};

use super::Keeper;
use super::instance::Stage;
use super::poll::Token;
use crate::clock::{boot_ns, wall_ns};
use crate::protocol::{Event, ExitRecord};

/// A process that isn't our child is reaped by another, and the kernel tells how it ended only then.
const ASK_AGAIN_NS: u64 = 20_000_000;
/// When its parent never does.
const GIVE_UP_NS: u64 = 5_000_000_000;

const UNKNOWN: ExitInfo = ExitInfo { exit: Exit::Unknown, core_dumped: false };

impl Keeper {
    /// An instance's process has ended, or it is time to ask again how.
    pub(super) fn on_process(&mut self, id: u32) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let Stage::Running { pidfd, ended_ns } = &mut instance.stage else {
            return self.on_launch(id); // It ended before it was seen to have been launched.
        };
        if !has_ended(pidfd.as_fd()) {
            return;
        }
        let now = boot_ns();
        let since = *ended_ns.get_or_insert(now);
        match how(pidfd.as_fd(), &instance.record.identity) {
            Some(info) => self.finish(id, info),
            None if now - since >= GIVE_UP_NS => self.finish(id, UNKNOWN),
            None => {
                self.poller.unwatch(pidfd.as_fd());
                self.poller.wake_at(now + ASK_AGAIN_NS, Token::Process(id));
            }
        }
    }

    /// Settles the exit of an instance that nothing more can be learnt of.
    pub(super) fn finish_unknown(&mut self, id: u32) {
        self.finish(id, UNKNOWN);
    }

    pub(super) fn finish(&mut self, id: u32, info: ExitInfo) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if let Some(pidfd) = instance.pidfd() {
            self.poller.unwatch(pidfd);
        }
        instance.drain_last(&self.poller, &mut self.plumbing);
        let record = ExitRecord {
            key: instance.record.key.clone(),
            attempt: instance.record.attempt,
            exit: info.exit,
            core_dumped: info.core_dumped,
            oom_killed: was_oom_killed(&instance.record.cgroup_dirs),
            wall_ns: wall_ns(),
            boot_ns: boot_ns(),
        };
        self.children.remove(&instance.record.identity.pid);
        instance.stage = Stage::Exited(record.clone());
        let written = self.state.end(&record);
        self.let_go(record.key.clone());
        self.peers.tell(&Event::Exited(record), &[], &self.poller);
        match written {
            Ok(file) => self.journal.sync(file),
            Err(error) => self.note(format!("can't write an exit record: {error}")),
        }
    }
}

/// Whether the process has ended, reaped or not.
pub(super) fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// How an ended process ended, if that can be told yet.
pub(super) fn how(pidfd: BorrowedFd<'_>, identity: &ProcessIdentity) -> Option<ExitInfo> {
    match waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        Ok(Some(status)) => Some(from_status(&status)),
        Ok(None) => None,
        // Not our child. As long as its parent hasn't reaped it, any kernel tells; then only a newer one.
        Err(_) => of_zombie(identity).or_else(|| exit_info(pidfd).unwrap_or(Some(UNKNOWN))),
    }
}

pub(super) fn from_status(status: &WaitIdStatus) -> ExitInfo {
    let exit = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    };
    ExitInfo { exit, core_dumped: status.dumped() }
}

/// The exit status that /proc/PID/stat has while the process waits for its parent (proc_pid_stat(5)).
fn of_zombie(identity: &ProcessIdentity) -> Option<ExitInfo> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", identity.pid)).ok()?;
    // The second field is the command in parentheses and may hold anything; the third is the state.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let start_time: u64 = field(22)?.parse().ok()?;
    let status: i32 = field(52)?.parse().ok()?;
    let is_it = field(3)? == "Z" && start_time == identity.start_time;
    // The bit is that of WCOREDUMP.
    is_it.then(|| ExitInfo { exit: Exit::from_wait_status(status), core_dumped: status & 0x80 != 0 })
}

/// Whether the kernel has killed a process of the control groups, or of those that the container made below them.
fn was_oom_killed(cgroup_dirs: &[PathBuf]) -> bool {
    cgroup_dirs.iter().any(|dir| matches!(oom_kills_below(dir), Ok(Some(kills)) if kills > 0))
}
