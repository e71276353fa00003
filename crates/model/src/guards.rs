//! Which defaults confine an instance.

use serde::{Deserialize, Serialize};

/// Version of what a container gets that asks for nothing: profile of system calls, hidden and read-only paths,
/// capabilities, kernel settings. It is set when a container starts, and an upgrade of Hoist doesn't change what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Guards(pub u32);

impl Guards {
    /// Of a run that was found without a record of its start.
    pub const UNKNOWN: Guards = Guards(0);
}

impl Default for Guards {
    /// The version before versions were recorded.
    fn default() -> Self {
        Self(1)
    }
}
