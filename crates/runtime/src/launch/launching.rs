//! A launch under way, seen from the parent: never blocks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};

use super::{LaunchError, advice};
use crate::op::{Note, Op, Record};

/// A child that is walking its operations. Dropping it before it is done kills the child, and leaves it for
/// the caller to wait for.
///
/// The child waits before its last operation until it is released, so that the caller can take down which
/// process it is. If the caller dies before, the child ends by itself and executes nothing. The child is the
/// only process that a launch makes: the caller gets no grandchildren to reap.
#[derive(Debug)]
pub struct Launching {
    pid: Pid,
    /// None when it has been handed out or the child has been reaped.
    pidfd: Option<OwnedFd>,
    /// None when the child has been released.
    gate: Option<OwnedFd>,
    /// None after the end of the report.
    report: Option<OwnedFd>,
    executing: bool,
    failed: Option<Record>,
    ops: Vec<Op>,
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

const FINISHED: &str = "a launch that has finished is neither polled nor waited for";

impl Launching {
    pub(super) fn new(pid: Pid, pidfd: OwnedFd, gate: OwnedFd, report: OwnedFd, ops: Vec<Op>) -> Self {
        Self {
            pid,
            pidfd: Some(pidfd),
            gate: Some(gate),
            report: Some(report),
            executing: false,
            failed: None,
            ops,
        }
    }

    /// The descriptor to wait on for readability. It may be another one after each [`Launching::poll`].
    ///
    /// # Panics
    ///
    /// When the launch has finished, as do the methods below.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.report.as_ref().or(self.pidfd.as_ref()).expect(FINISHED).as_fd()
    }

    /// The child's id in the caller's PID namespace: valid from the first moment.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The descriptor that names the child: valid from the first moment.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_ref().expect(FINISHED).as_fd()
    }

    /// Lets the child go on to its program. May be called at any time, also before the child is there to hear
    /// it; never blocks. Only the first call counts.
    pub fn release(&mut self) {
        if let Some(gate) = self.gate.take() {
            // One byte in an empty socket: it fits, or the child is gone and poll tells of it.
            let _ = send(&gate, b"!", SendFlags::NOSIGNAL);
        }
    }

    /// Looks how far the child has come, without waiting. After anything but [`Progress::Pending`] it must
    /// not be called again.
    pub fn poll(&mut self) -> Progress {
        if !self.read_report() {
            return Progress::Pending;
        }
        if self.executing && self.failed.is_none() {
            let pidfd = self.pidfd.take().expect(FINISHED);
            return Progress::Running(Running { pid: self.pid, pidfd });
        }
        // It failed or was killed. The end of the report comes a moment before that of the process.
        match self.reap() {
            Some(status) => Progress::Failed(self.error(status)),
            None => Progress::Pending,
        }
    }

    /// True at the end of the report: all copies of the pipe's other end are closed, by execve or by death.
    fn read_report(&mut self) -> bool {
        let mut bytes = [0; Record::SIZE];
        while let Some(report) = &self.report {
            match rustix::io::read(report, &mut bytes) {
                Ok(0) => self.report = None,
                Ok(_) => self.note(Record::from_bytes(&bytes)),
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn note(&mut self, record: Record) {
        if record.failure.note == Note::Executing {
            self.executing = true;
        } else {
            self.failed = Some(record);
        }
    }

    /// Takes the child's exit status. `Some(None)` when somebody else did.
    fn reap(&mut self) -> Option<Option<WaitIdStatus>> {
        let id = WaitId::PidFd(self.pidfd());
        match waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(None) | Err(Errno::INTR) => None,
            result => {
                let status = result.unwrap_or(None);
                self.pidfd = None;
                Some(status)
            }
        }
    }

    fn error(&self, status: Option<WaitIdStatus>) -> LaunchError {
        let failed = self.failed.and_then(|record| Some((self.ops.get(record.op)?, record.failure)));
        match failed {
            Some((op, failure)) => advice::failed(op, &failure),
            None => advice::died(status.and_then(|status| status.terminating_signal())),
        }
    }
}

impl Drop for Launching {
    fn drop(&mut self) {
        if let Some(pidfd) = &self.pidfd {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
    }
}
