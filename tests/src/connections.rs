//! What the `connections` program writes down, and the clock that it and the agent read.

use std::collections::BTreeMap;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What a client saw.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Asked {
    /// By server: its name is the moment it began.
    pub accepted: BTreeMap<u64, Accepted>,
    /// Connections that were refused, reset or not answered.
    pub failed: u64,
    /// For how long it asked.
    pub nanoseconds: u64,
}

/// What one server accepted.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Accepted {
    /// How many connections.
    pub count: u64,
    /// When the last of them was opened, as the client knows it: before it asked for it.
    pub last_opened: u64,
}

impl Accepted {
    /// One more, which the client began to open at this moment.
    pub fn note(&mut self, opened: u64) {
        self.count += 1;
        self.last_opened = self.last_opened.max(opened);
    }
}

impl Asked {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        for (server, seen) in other.accepted {
            let own = self.accepted.entry(server).or_default();
            own.count += seen.count;
            own.last_opened = own.last_opened.max(seen.last_opened);
        }
        self.failed += other.failed;
        self.nanoseconds = self.nanoseconds.max(other.nanoseconds);
    }

    /// Connections that were accepted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.accepted.values().map(|seen| seen.count).sum()
    }
}

/// Nanoseconds of CLOCK_MONOTONIC (clock_gettime(2)).
#[must_use]
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = now.tv_sec * 1_000_000_000 + now.tv_nsec;
    u64::try_from(nanoseconds).unwrap_or_default()
}
