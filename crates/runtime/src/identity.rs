//! Which process a number means, across restarts of ours, and how it ended.
//!
//! A process ID alone is only a number that the kernel gives out again. Owns: what pins one process for
//! as long as the machine runs, and reading its exit status without being its parent. Does not own:
//! waiting (a pidfd becomes readable when its process ends) and reaping.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{fstat, fstatfs};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::cgroup::CgroupPath;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// It ended and nobody could tell how: its parent was not us and the kernel (before 6.15) doesn't say.
    Unknown,
}

/// What is known of an ended process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitInfo {
    pub exit: Exit,
    pub core_dumped: bool,
}

/// Pins one process among all that ever bear its number on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Which boot of the machine the rest belongs to.
    pub boot_id: String,
    pub pid: i32,
    /// Clock ticks from boot to its start (field 22 of /proc/PID/stat).
    pub start_time: u64,
    /// Unique for the whole boot, on kernels that have pidfs (6.9).
    pub pidfd_inode: Option<u64>,
    /// The control group it was started in.
    pub cgroup: Option<CgroupPath>,
}
