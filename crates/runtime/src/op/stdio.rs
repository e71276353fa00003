//! The last preparations of the process itself: session, terminal, directory, descriptors, signals.

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, Uid, fchown, fstat, major, minor, openat};
use rustix::io::Errno;
use rustix::process::{fchdir, ioctl_tiocsctty, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{Child, Failure, Step, within};
use crate::sys;

/// Leads a session of its own: no terminal of the caller can signal it.
#[derive(Debug)]
pub struct LeadSession;

impl Step for LeadSession {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        setsid()?;
        Ok(())
    }
}

impl fmt::Display for LeadSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lead a new session")
    }
}

/// Takes the pseudo terminal as controlling terminal.
#[derive(Debug)]
pub struct TakeTerminal {
    pub(crate) terminal: OwnedFd,
    /// Rows and columns, when they are known before the start.
    pub(crate) size: Option<(u16, u16)>,
}

impl Step for TakeTerminal {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        if let Some((rows, columns)) = self.size {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            tcsetwinsize(&self.terminal, size)?;
        }
        Ok(ioctl_tiocsctty(&self.terminal)?)
    }
}

impl fmt::Display for TakeTerminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("take the controlling terminal")?;
        self.size.map_or(Ok(()), |(rows, columns)| write!(f, " of {rows} rows and {columns} columns"))
    }
}

/// Enters the working directory.
///
/// Resolved inside the root without magic links: a working directory of `/proc/self/fd/7` would lead
/// through a descriptor of ours out of the container (CVE-2024-21626).
#[derive(Debug)]
pub struct ChangeDirectory {
    pub(crate) path: CString,
}

impl Step for ChangeDirectory {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        let root = openat(CWD, c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let directory = within::open(root.as_fd(), &self.path, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(fchdir(directory)?)
    }
}

impl fmt::Display for ChangeDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "enter the working directory {}", self.path.to_string_lossy())
    }
}

/// Puts the three descriptors in their places, owned by the process's user, so that it can open
/// `/dev/stdout` anew.
#[derive(Debug)]
pub struct ConnectStdio {
    /// None of them below 3: putting one in place must not overwrite another.
    pub(crate) stdio: [OwnedFd; 3],
    pub(crate) uid: u32,
}

impl Step for ConnectStdio {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        let [input, output, error] = &self.stdio;
        for fd in &self.stdio {
            give(fd.as_fd(), self.uid)?;
        }
        dup2_stdin(input)?;
        dup2_stdout(output)?;
        Ok(dup2_stderr(error)?)
    }
}

/// Makes the user the owner, except of the null device, which is everybody's, and of what can't have one.
fn give(fd: BorrowedFd<'_>, uid: u32) -> Result<(), Errno> {
    let stat = fstat(fd)?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if stat.st_uid == uid || (is_device && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3)) {
        return Ok(());
    }
    match fchown(fd, Some(Uid::from_raw(uid)), None) {
        Err(Errno::PERM | Errno::INVAL | Errno::ROFS) => Ok(()),
        result => result,
    }
}

impl fmt::Display for ConnectStdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connect standard input, output and error as uid {}", self.uid)
    }
}

/// Closes every descriptor but the three, whoever opened it: nothing of the host may be reachable from
/// the program, not even what a library forgot to mark close-on-exec (CVE-2024-21626). What is still needed
/// until then stays, to be closed by execve.
#[derive(Debug)]
pub struct CloseDescriptors;

const FIRST: RawFd = 3;

impl Step for CloseDescriptors {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let mark = child.mark.unwrap_or(child.report);
        let mut kept = [child.report, child.gate, mark].map(|fd| fd.as_raw_fd());
        kept.sort_unstable();
        let mut first = FIRST;
        for fd in kept {
            if fd > first {
                // SAFETY: the operations that own these descriptors are done, and the child drops nothing.
                unsafe { sys::close_range(first, fd - 1) }?;
            }
            first = first.max(fd + 1);
        }
        // SAFETY: as above.
        Ok(unsafe { sys::close_range(first, RawFd::MAX) }?)
    }
}

impl fmt::Display for CloseDescriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("close all other descriptors")
    }
}

/// Puts all signals to their defaults, none blocked or ignored.
#[derive(Debug)]
pub struct ResetSignals {
    /// Those that the caller ignores: the clone has reset only what it handles.
    pub(crate) ignored: u64,
}

impl Step for ResetSignals {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        Ok(sys::reset_signals(self.ignored)?)
    }
}

impl fmt::Display for ResetSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reset all signals")
    }
}
