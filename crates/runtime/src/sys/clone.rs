//! clone3(2), used as fork with flags.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::process::Pid;

use super::checked;

/// Beyond 32 bits, so clone3 only (`linux/sched.h`); libc's constants of these names overflow.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What is asked of clone3, beyond a copy of the caller.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloneRequest<'a> {
    /// `CLONE_NEW…` flags.
    pub(crate) namespaces: u64,
    /// The cgroup v2 directory to be born in (CLONE_INTO_CGROUP, Linux 5.7).
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// Which side of the clone the caller finds itself on.
#[derive(Debug)]
pub(crate) enum Cloned {
    Child,
    Parent { pid: Pid, pidfd: OwnedFd },
}

/// As [`clone3`] without anything asked, by the older call: a filter of system calls can't look into what clone3
/// points to, so most refuse it. Gives the child's id; none in the child.
///
/// # Safety
///
/// As for [`clone3`].
pub(crate) unsafe fn fork() -> Result<Option<Pid>, Errno> {
    let (signal, none) = (libc::SIGCHLD as libc::c_ulong, std::ptr::null::<u8>());
    // SAFETY: without CLONE_VM and a stack the child continues here on its own copy of this stack. The rest is the
    // caller's promise.
    let returned = unsafe { libc::syscall(libc::SYS_clone, signal, none, none, none, none) };
    Ok(Pid::from_raw(checked(returned)? as i32))
}

/// Copies the calling process, with only the calling thread in the copy.
///
/// # Safety
///
/// The child must not allocate, take a lock or call libc functions that do, and must end in `execve` or
/// [`super::exit`]: other threads of the caller may have held any lock at the moment of the copy.
pub(crate) unsafe fn clone3(request: CloneRequest<'_>) -> Result<Cloned, Errno> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers; all zero is its documented neutral value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    // CLEAR_SIGHAND: a signal that meets the child early must not run a handler of the caller.
    args.flags = request.namespaces | libc::CLONE_PIDFD as u64 | CLONE_CLEAR_SIGHAND;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = request.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: args and pidfd outlive the call; without CLONE_VM and a stack the child continues here on
    // its own copy of this stack, as after fork. The rest is the caller's promise.
    let returned = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    match Pid::from_raw(checked(returned)? as i32) {
        None => Ok(Cloned::Child),
        // SAFETY: with CLONE_PIDFD a successful clone3 has stored a new descriptor that nobody else owns.
        Some(pid) => Ok(Cloned::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
    }
}
