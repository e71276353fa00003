//! System calls that rustix does not have, or that must be made without libc's bookkeeping.
//!
//! Everything here may be called in a child that is the copy of one thread of many: no allocation, no
//! lock, no panic. libc's own `fork`, `setuid`, `signal` and the like are not: they keep state, take locks,
//! or signal other threads.

mod clone;
mod cmdline;
mod keyring;
mod memory;
mod mount;
mod mount_old;
mod program;
mod seccomp;
mod signal;

use rustix::io::Errno;

pub(crate) use clone::{CloneRequest, Cloned, clone3, fork};
pub(crate) use cmdline::CommandLine;
pub(crate) use keyring::join_new_session_keyring;
pub(crate) use memory::Anonymous;
pub(crate) use mount::{MountAttr, Recursion, mount_setattr, mount_setattr_attached};
pub(crate) use program::{close_range, execve, exit};
pub(crate) use seccomp::install_filter;
pub(crate) use signal::{
    Status, block_all_signals, reset_signals, unblock_all_signals, wait_child, wait_signal,
};

/// The error of the last `libc::syscall`.
fn errno() -> Errno {
    // SAFETY: errno is a thread-local integer, always valid to read, in a cloned child as well.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// The result of a `libc::syscall`.
fn checked(returned: libc::c_long) -> Result<libc::c_long, Errno> {
    if returned == -1 { Err(errno()) } else { Ok(returned) }
}
