//! Signals and children, without libc's handlers and wrappers.

use rustix::io::Errno;
use rustix::process::Pid;

use super::checked;

/// Signals are 1..=64 on every architecture this is built for.
const LAST_SIGNAL: i32 = 64;
/// The kernel's signal set is one 64-bit word there, unlike libc's `sigset_t`.
const SET_SIZE: usize = size_of::<u64>();

/// `struct sigaction` as the kernel has it on x86-64 and arm64, where `SIG_DFL` is all zero.
#[repr(C)]
#[derive(Default)]
struct KernelSigaction([u64; 4]);

/// Puts ignored signals to their defaults and unblocks all. A program must not inherit what its starter ignores: Rust
/// ignores SIGPIPE, and an ignored signal stays ignored across execve. What the starter handles is at its default
/// already, see [`super::clone3`].
///
/// Signal 1 is the lowest bit of `ignored`. Those that can't be ignored are skipped.
pub(crate) fn reset_signals(ignored: u64) -> Result<(), Errno> {
    let default = KernelSigaction::default();
    let is_ignored = |signal: &i32| ignored >> (signal - 1) & 1 == 1;
    for signal in (1..=LAST_SIGNAL).filter(is_ignored) {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        // SAFETY: default is at least as long as the kernel's struct; no old action is asked for.
        let returned = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const default,
                std::ptr::null::<u8>(),
                SET_SIZE,
            )
        };
        checked(returned)?;
    }
    unblock_all_signals()
}

/// Blocks every signal that can be blocked.
pub(crate) fn block_all_signals() -> Result<(), Errno> {
    set_mask(u64::MAX)
}

/// Unblocks every signal.
pub(crate) fn unblock_all_signals() -> Result<(), Errno> {
    set_mask(0)
}

fn set_mask(mask: u64) -> Result<(), Errno> {
    // SAFETY: mask is one kernel signal set; no old set is asked for.
    let returned = unsafe {
        let old = std::ptr::null::<u8>();
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, old, SET_SIZE)
    };
    checked(returned).map(drop)
}

/// Waits for any blocked signal and takes it.
pub(crate) fn wait_signal() -> Result<i32, Errno> {
    let all = u64::MAX;
    // SAFETY: all is one kernel signal set; neither information nor a time limit is asked for.
    let returned = unsafe {
        let null = std::ptr::null::<u8>();
        libc::syscall(libc::SYS_rt_sigtimedwait, &raw const all, null, null, SET_SIZE)
    };
    checked(returned).map(|signal| signal as i32)
}

/// How a child ended, as the code a shell would give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) pid: Pid,
    pub(crate) code: i32,
}

/// Takes the status of one ended child, if there is one; `Errno::CHILD` without any child.
pub(crate) fn wait_child() -> Result<Option<Status>, Errno> {
    let mut status: i32 = 0;
    // SAFETY: status outlives the call; no resource usage is asked for.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_wait4,
            -1,
            &raw mut status,
            libc::WNOHANG | libc::__WALL,
            std::ptr::null::<u8>(),
        )
    };
    let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
    Ok(Pid::from_raw(checked(returned)? as i32).map(|pid| Status { pid, code }))
}
