//! The two clocks the keeper reads.
//!
//! Boot time decides (deadlines, back-off): it never jumps and counts suspend. Wall time is only written
//! down, for people to read.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the machine booted, time asleep included (`CLOCK_BOOTTIME`).
pub(crate) fn boot_ns() -> u64 {
    u64::try_from(ns(ClockId::Boottime)).unwrap_or(0)
}

/// Nanoseconds since 1970-01-01 UTC (`CLOCK_REALTIME`).
pub(crate) fn wall_ns() -> i64 {
    ns(ClockId::Realtime)
}

fn ns(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

/// Wall time that never goes back or stands still, so that sorting by it keeps the order things came in.
///
/// One per instance: it orders the lines of stdout and stderr among each other.
#[derive(Debug, Default)]
pub(crate) struct Ticker {
    last: i64,
}

impl Ticker {
    /// A ticker that continues after `last`.
    pub(crate) fn after(last: i64) -> Ticker {
        Ticker { last }
    }

    pub(crate) fn tick(&mut self) -> i64 {
        self.last = wall_ns().max(self.last + 1);
        self.last
    }

    /// Whether the last tick is `stamp` and less than a millisecond ago.
    pub(crate) fn is_fresh(&self, stamp: i64) -> bool {
        stamp == self.last && wall_ns().saturating_sub(stamp) < 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_only_go_up_even_when_the_wall_clock_is_behind() {
        let ahead = wall_ns() + 3_600_000_000_000;
        let mut ticker = Ticker::after(ahead);
        assert_eq!(ticker.tick(), ahead + 1);
        assert_eq!(ticker.tick(), ahead + 2);
    }
}
