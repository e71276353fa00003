//! Time as decisions see it (since boot) and time as people see it (wall clock). The two never mix.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which boot of a machine: the kernel's `/proc/sys/kernel/random/boot_id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub String);

/// A point in time that survives clock changes: time since boot (CLOCK_BOOTTIME), within one boot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Moment {
    /// The boot that `since_boot` counts from.
    pub boot: BootId,
    /// Time since that boot, suspend included.
    pub since_boot: Duration,
}

impl Moment {
    /// How much later than `earlier` this is; nothing when they lie in different boots or in the other order.
    #[must_use]
    pub fn since(&self, earlier: &Moment) -> Option<Duration> {
        (self.boot == earlier.boot).then(|| self.since_boot.checked_sub(earlier.since_boot)).flatten()
    }

    /// The moment `wait` later in the same boot.
    #[must_use]
    pub fn after(&self, wait: Duration) -> Moment {
        Moment { boot: self.boot.clone(), since_boot: self.since_boot.saturating_add(wait) }
    }
}

/// Wall-clock time, nanoseconds since 1970-01-01 UTC. For people to read; no decision depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub i64);

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0.div_euclid(1_000_000_000), self.0.rem_euclid(1_000_000_000))
    }
}
