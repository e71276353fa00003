//! A launch under way, seen from the parent: never blocks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::Pid;

use super::LaunchError;

/// A child that is walking its operations. Dropping it before it is done kills the child.
#[derive(Debug)]
pub struct Launching {
    pid: Pid,
    pidfd: OwnedFd,
}

/// How far a launch has come.
#[derive(Debug)]
pub enum Progress {
    /// Ask again when [`Launching::fd`] is readable.
    Pending,
    /// The program has been executed.
    Running(Running),
    /// The program was not executed; the child has been reaped.
    Failed(LaunchError),
}

/// A process that has been executed, a child of the caller.
#[derive(Debug)]
pub struct Running {
    /// Its id in the caller's PID namespace.
    pub pid: Pid,
    /// The descriptor that names it for ever; readable when it has exited.
    pub pidfd: OwnedFd,
}

impl Launching {
    /// The descriptor to wait on for readability. It may be another one after each [`Launching::poll`].
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The child's id in the caller's PID namespace: valid from the first moment.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The descriptor that names the child: valid from the first moment.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Looks how far the child has come, without waiting. After anything but [`Progress::Pending`] it must
    /// not be called again.
    pub fn poll(&mut self) -> Progress {
        Progress::Pending
    }
}
