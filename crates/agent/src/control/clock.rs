//! The one place where the agent reads clocks.

use std::time::Duration;

use hoist_model::{BootId, Moment, WallTime};
use hoist_planner::Now;
use rustix::time::{ClockId, clock_gettime};

/// Reads the boot clock and the wall clock.
#[derive(Debug, Clone)]
pub struct Clock {
    boot: BootId,
}

impl Clock {
    /// A clock for this boot (`/proc/sys/kernel/random/boot_id`).
    ///
    /// # Errors
    /// When the kernel doesn't tell its boot id.
    pub fn new() -> std::io::Result<Self> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Self::of_boot(BootId(id.trim().to_owned())))
    }

    /// A clock that gives `boot` as the boot: a test's way to a reboot.
    #[must_use]
    pub fn of_boot(boot: BootId) -> Self {
        Self { boot }
    }

    /// The boot.
    #[must_use]
    pub fn boot(&self) -> &BootId {
        &self.boot
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Now {
        let since_boot = duration(clock_gettime(ClockId::Boottime));
        let wall = duration(clock_gettime(ClockId::Realtime));
        Now {
            moment: Moment { boot: self.boot.clone(), since_boot },
            wall: WallTime(i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX)),
        }
    }
}

/// CLOCK_MONOTONIC (clock_gettime(2)): what any program of this host can compare its own times with.
pub(crate) fn monotonic() -> Duration {
    duration(clock_gettime(ClockId::Monotonic))
}

fn duration(time: rustix::time::Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
