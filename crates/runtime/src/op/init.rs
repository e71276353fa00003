//! PID 1 for programs that are not made to be it: reaps what is orphaned, passes signals on.

use std::fmt;
use std::os::fd::RawFd;

use rustix::io::Errno;
use rustix::process::{Pid, getpid, set_child_subreaper, setpgid};
use rustix::termios::tcsetpgrp;

use super::{Child, Failure, Step};
use crate::sys::{self, Anonymous, CommandLine, Status};

/// Children taken at one SIGCHLD, at most.
const MOST: usize = 4096;

/// Clones once more: the copy goes on to the program, this process stays as its PID 1.
///
/// After the user has been changed and the capabilities cut, so that init has no more of either than the
/// program. It unmaps the anonymous memory that it inherited from its parent: otherwise each of these processes
/// would in time hold as much memory as the parent. Mappings of files stay shared with the parent. It stays not dumpable, so nobody inside reads it.
#[derive(Debug)]
pub struct StayAsInit {
    /// Whether the program's process group is to be the terminal's foreground.
    pub(crate) terminal: bool,
    /// The caller's command line, whose copy everybody in the container could read.
    pub(crate) command_line: Option<CommandLine>,
    /// What it needs no more.
    pub(crate) memory: Anonymous,
}

impl Step for StayAsInit {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        // Where the PID namespace is shared, orphans would go to its own init instead.
        set_child_subreaper(Some(getpid()))?;
        // Before the clone: a signal that arrives right after it must wait for us, not be lost.
        sys::block_all_signals()?;
        // Before the clone too: the program must not find the old name.
        self.rename();
        // SAFETY: both sides go on under the rules of a child: no allocation, no lock, then execve or exit.
        match unsafe { sys::fork() }? {
            Some(pid) => stay(pid, &self.memory),
            None => self.lead(),
        }
    }
}

impl StayAsInit {
    fn rename(&self) {
        let _ = rustix::thread::set_name(c"init");
        if let Some(command_line) = self.command_line {
            // SAFETY: this is a copy of the caller, and from here on neither side reads arguments.
            unsafe { command_line.overwrite(b"init") };
        }
    }

    /// A process group of its own, so that the terminal's Ctrl-C reaches the program and not init.
    fn lead(&self) -> Result<(), Failure> {
        setpgid(None, None)?;
        if self.terminal {
            // Allowed from the background because SIGTTOU is still blocked.
            tcsetpgrp(rustix::stdio::stdin(), getpid())?;
        }
        Ok(sys::unblock_all_signals()?)
    }
}

impl fmt::Display for StayAsInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("clone the program's process and stay as its init")
    }
}

/// Lives until the program has ended, then ends the same way.
fn stay(program: Pid, memory: &Anonymous) -> ! {
    // Ours must not keep a pipe open that the program closes; nor the report, whose end tells of success.
    // SAFETY: nothing below uses or drops a descriptor.
    let _ = unsafe { sys::close_range(0, RawFd::MAX) };
    // SAFETY: below there is nothing but system calls with what is on this stack.
    unsafe { memory.give_back() };
    loop {
        match sys::wait_signal() {
            Ok(libc::SIGCHLD) => reap(program),
            // Of the terminal, for whoever is in its background: not the program's.
            Ok(libc::SIGTTIN | libc::SIGTTOU) | Err(_) => {}
            // SAFETY: takes integers only.
            Ok(signal) => _ = unsafe { libc::kill(program.as_raw_nonzero().get(), signal) },
        }
    }
}

/// Takes every child that has ended; one SIGCHLD may stand for several. With the program goes this process, but first
/// what had ended below the program and came to us at its end: left to a first process that doesn't reap, it would
/// stay for ever. Bounded, so that nobody holds up the end by making more.
fn reap(program: Pid) {
    let mut ended = None;
    for _ in 0..MOST {
        match sys::wait_child() {
            Ok(Some(Status { pid, code })) if pid == program => ended = Some(code),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(_) => break,
        }
    }
    if let Some(code) = ended {
        sys::exit(code);
    }
}
