//! What one run of a health check said.

use serde::{Deserialize, Serialize};

use crate::WallTime;

/// One run of a health check, with what Docker's `Health.Log` keeps of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRecord {
    /// When it began.
    pub start: WallTime,
    /// When it ended, or was ended.
    pub end: WallTime,
    /// Its exit status; -1 when it could not be run or took too long, and then `output` says so first.
    pub exit_code: i32,
    /// What it wrote, at most [`ProbeRecord::OUTPUT`] bytes; what is no UTF-8 is replaced.
    #[serde(default)]
    pub output: String,
}

impl ProbeRecord {
    /// Bytes of output that are kept of one run, as in Docker.
    pub const OUTPUT: usize = 4096;
    /// Runs that are kept of one instance, as in Docker.
    pub const KEPT: usize = 5;

    /// Whether the check passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.exit_code == 0
    }
}
