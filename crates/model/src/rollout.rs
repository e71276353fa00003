//! How one instance gives way to the next in its slot: what a file declares of it, and what is seen.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Protocol;

/// What a service declares about its rollouts (`x-hoist`), beside `deploy.update_config`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Rollout {
    /// `x-hoist.drain`: how long an instance that was replaced may go on with the connections that it has.
    pub drain: Duration,
    /// `x-hoist.drain-signal`: tells its program that nothing new will come.
    pub drain_signal: Option<String>,
    /// `x-hoist.ready`: what has nothing to listen on is ready once it has run for so long.
    pub ready: Duration,
    /// `x-hoist.shared-writes`: old and new may write to the same volumes at the same time.
    pub shared_writes: bool,
    /// `x-hoist.hold`: how long new connections may wait while nobody is there because Hoist made it so; at zero they are
    /// refused.
    #[serde(skip_serializing_if = "is_usual_hold")]
    pub hold: Duration,
}

const HOLD: Duration = Duration::from_secs(30);

fn is_usual_hold(hold: &Duration) -> bool {
    *hold == HOLD
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(10),
            drain_signal: None,
            ready: Duration::from_secs(1),
            shared_writes: false,
            hold: HOLD,
        }
    }
}

impl Rollout {
    /// Nothing is declared.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// A port inside an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// Transport.
    pub protocol: Protocol,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

/// What an instance does that is about to go while its service stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Parting {
    /// It has the traffic until its successor is ready.
    Serves,
    /// It gets nothing new: it finishes what it has, and then ends.
    Drains,
}
