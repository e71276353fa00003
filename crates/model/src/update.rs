//! How many replicas of a service change at a time, and what happens when one fails (`deploy.update_config`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `deploy.update_config`, but for `order`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Update {
    /// So many replicas change at a time; all at once at 0.
    pub parallelism: u32,
    /// From the moment in which a new instance is ready until the next one may begin.
    pub delay: Duration,
    /// What happens when more fail than may.
    pub failure_action: FailureAction,
    /// So many in a thousand of the replicas may fail.
    pub max_failure_per_mille: u32,
}

impl Update {
    /// Nothing is declared: all replicas change at once.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of a rollout in which more instances failed than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureAction {
    /// No further replica changes until the failed ones recover, or somebody says something else.
    #[default]
    Pause,
    /// It goes on.
    Continue,
    /// The stack goes back to its last revision that succeeded.
    Rollback,
}
