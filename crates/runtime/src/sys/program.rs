//! The last calls of a child: closing descriptors, execve(2), exit_group(2).

use std::ffi::{CStr, c_char};
use std::os::fd::RawFd;

use rustix::io::Errno;

use super::{checked, errno};

/// Closes every descriptor of a range, whoever opened it.
///
/// # Safety
///
/// No owner of such a descriptor may use or drop it afterwards.
pub(crate) unsafe fn close_range(first: RawFd, last: RawFd) -> Result<(), Errno> {
    // SAFETY: takes integers only; the caller answers for the descriptors.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Replaces the program. Returns only if that failed.
///
/// # Safety
///
/// `argv` and `envp` are null-terminated arrays of C strings.
pub(crate) unsafe fn execve(path: &CStr, argv: *const *const c_char, envp: *const *const c_char) -> Errno {
    // SAFETY: path is a C string, the arrays are the caller's promise.
    unsafe { libc::syscall(libc::SYS_execve, path.as_ptr(), argv, envp) };
    errno()
}

/// Ends the process at once: no exit handlers, no flushing, nothing of the parent's is undone twice.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: takes an integer; it returns only if a filter of system calls refuses it.
    unsafe { libc::syscall(libc::SYS_exit_group, code) };
    // SAFETY: does not return. Where the signal it sends is refused too, it ends in an instruction that the processor
    // refuses, which no filter sees.
    unsafe { libc::abort() }
}
