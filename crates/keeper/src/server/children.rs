//! Signals, and the children nobody waits for.
//!
//! The keeper is a subreaper: what a container's processes leave behind outside its PID namespace becomes a
//! child of the keeper, and is reaped here.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::Keeper;
use super::poll::Token;
use crate::clock::boot_ns;

/// When to look again at a child that has ended but can't be reaped yet.
const AGAIN_NS: u64 = 50_000_000;

impl Keeper {
    pub(super) fn on_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match Signal::try_from(info.ssi_signo.cast_signed()) {
                Ok(Signal::SIGCHLD) | Err(_) => {}
                // To end is the agent's wish, said over the socket: a stray SIGTERM, such as from an init
                // system that ends a whole control group, must not take every container's parent away.
                Ok(signal) => self.note(format!("{signal} from process {} is ignored", info.ssi_pid)),
            }
        }
        self.reap();
    }

    /// Takes the exits of all children that have ended: ours by their own way, strays at once.
    pub(super) fn reap(&mut self) {
        while let Some(pid) = ended_child() {
            let Some(token) = self.children.get(&pid.as_raw()).copied() else {
                let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
                continue;
            };
            self.turn(token);
            if self.children.contains_key(&pid.as_raw()) {
                // It would be found again and again, in front of all others.
                self.poller.wake_at(boot_ns() + AGAIN_NS, Token::Signals);
                return;
            }
        }
    }
}

/// A child that has ended, left to be waited for.
fn ended_child() -> Option<Pid> {
    loop {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::All, flags) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => return Some(pid),
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return None,
        }
    }
}
