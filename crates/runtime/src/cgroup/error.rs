//! What can go wrong with a control group, and what was merely left undone.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// An operation on control groups failed. Paths are those of cgroupfs.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// The name is empty, absolute beyond its first slash, or would leave its anchor.
    #[error("{path:?} can't name a control group: it must be a relative path without `.` and `..`")]
    InvalidPath { path: PathBuf },
    /// No cgroup file system is mounted where this process can see it.
    #[error("no cgroup file system is mounted")]
    NoHierarchy,
    /// A file of /proc that describes the hierarchies could not be read.
    #[error("can't read {file:?}")]
    Detect { file: PathBuf, source: io::Error },
    /// The limit is asked for but this host has nothing that would enforce it.
    #[error("{0}")]
    Unenforceable(Unenforced),
    /// The value makes no sense on any host.
    #[error("{key} can't be {value}: {rule}")]
    Invalid { key: &'static str, value: String, rule: String },
    /// The kernel refused a value.
    #[error("the kernel refused {key} = {value} ({file:?})")]
    Refused { key: &'static str, value: String, file: PathBuf, source: io::Error },
    /// Controllers could not be passed on to child groups (version 2).
    #[error("can't enable {controllers} for the children of {dir:?}{hint}")]
    Enable { dir: PathBuf, controllers: String, hint: &'static str, source: io::Error },
    /// The group could not be made.
    #[error("can't make the control group {dir:?}")]
    Make { dir: PathBuf, source: io::Error },
    /// The device filter could not be loaded or attached (version 2).
    #[error("can't {action} the device filter of {dir:?}")]
    DeviceFilter { action: &'static str, dir: PathBuf, source: io::Error },
    /// The group exists in none of the hierarchies.
    #[error("no control group {path}")]
    Missing { path: String },
    /// The group still has processes, so it can't be removed or made afresh.
    #[error("the control group {dir:?} is in use by {count} {what}", count = pids.len(),
            what = if pids.len() == 1 { "process" } else { "processes" })]
    InUse { dir: PathBuf, pids: Vec<i32> },
    /// A file of the group could not be read or written.
    #[error("can't {action} {file:?}")]
    File { action: &'static str, file: PathBuf, source: io::Error },
    /// A file of the group holds something we don't understand.
    #[error("{file:?} holds {text:?}, which is not {expected}")]
    Format { file: PathBuf, text: String, expected: &'static str },
}

/// A wish that this host doesn't fulfil: which key, and why.
///
/// As an error it stopped the group from being made; as a warning the group works without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unenforced {
    /// The limit, in the words of the OCI specification, such as `memory.swap`.
    pub key: &'static str,
    /// What was asked for.
    pub value: String,
    /// Why it has no effect here.
    pub why: String,
}

impl fmt::Display for Unenforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} can't be enforced on this host: {}", self.key, self.value, self.why)
    }
}
