//! Watches the agent, and starts it again when it dies without a goodbye.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Keeper;
use super::exits::has_ended;
use super::poll::Token;
use crate::clock::boot_ns;

const FIRST_PAUSE_NS: u64 = 100_000_000;
const LONGEST_PAUSE_NS: u64 = 30_000_000_000;
/// An agent that lived so long didn't die of being started.
const SOUND_NS: u64 = 60_000_000_000;

/// What is known of the agent.
#[derive(Debug, Default)]
pub(super) struct Agent {
    pidfd: Option<OwnedFd>,
    said_goodbye: bool,
    since_ns: u64,
    pause_ns: u64,
    due_ns: Option<u64>,
}

impl Agent {
    pub(super) fn goodbye(&mut self) {
        self.said_goodbye = true;
        self.due_ns = None;
    }

    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Whether it has said goodbye.
    pub(super) fn is_leaving(&self) -> bool {
        self.said_goodbye
    }

    /// The agent died: when to start it again, later each time it dies soon.
    fn died(&mut self, now: u64) -> u64 {
        let sound = now.saturating_sub(self.since_ns) >= SOUND_NS;
        self.pause_ns = if sound || self.pause_ns == 0 {
            FIRST_PAUSE_NS
        } else {
            (self.pause_ns * 2).min(LONGEST_PAUSE_NS)
        };
        self.due_ns = Some(now + self.pause_ns);
        now + self.pause_ns
    }
}

impl Keeper {
    /// An agent has said hello.
    pub(super) fn watch_agent(&mut self, pidfd: Option<OwnedFd>) {
        if let Some(former) = self.agent.pidfd.take() {
            self.poller.unwatch(former.as_fd());
        }
        if let Some(pidfd) = &pidfd {
            let _ = self.poller.watch(pidfd.as_fd(), Token::Agent);
        }
        self.agent.pidfd = pidfd;
        self.agent.said_goodbye = false;
        self.agent.due_ns = None;
        self.agent.since_ns = boot_ns();
    }

    /// The agent has died, or is due to be started.
    pub(super) fn on_agent(&mut self) {
        let now = boot_ns();
        if let Some(pidfd) = self.agent.pidfd.take_if(|pidfd| has_ended(pidfd.as_fd())) {
            self.poller.unwatch(pidfd.as_fd());
            if !self.agent.said_goodbye && !self.config.respawn.is_empty() {
                let due = self.agent.died(now);
                self.poller.wake_at(due, Token::Agent);
            }
        }
        if self.agent.due_ns.is_some_and(|due| now >= due) {
            self.agent.due_ns = None;
            self.start_agent(now);
        }
    }

    fn start_agent(&mut self, now: u64) {
        let Some((program, args)) = self.config.respawn.split_first() else { return };
        let started = Command::new(program)
            .args(args)
            .env_clear()
            .env("PATH", SAFE_PATH)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.agent.since_ns = now;
        match started {
            Ok(child) => {
                let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                // Watched from its first moment: it may die before it says hello.
                self.watch_agent(pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()));
                self.note(format!("the agent had died; it was started again as process {}", child.id()));
            }
            Err(error) => {
                let due = self.agent.died(now);
                self.poller.wake_at(due, Token::Agent);
                self.note(format!("can't start the agent: {error}"));
            }
        }
    }
}

const SAFE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_keeps_dying_is_started_ever_more_rarely() {
        let mut agent = Agent { since_ns: 1, ..Agent::default() };
        let pauses: Vec<u64> = (0..11).map(|_| agent.died(2) / 1_000_000).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        assert_eq!(agent.died(SOUND_NS + 1) - SOUND_NS - 1, FIRST_PAUSE_NS);
    }
}
