//! The time of an input.

use hoist_model::{Moment, WallTime};

/// When an input arrived: the moment that decisions use, and the wall clock that reports show.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Now {
    /// Time since boot. All decisions use this.
    pub moment: Moment,
    /// For people to read; no decision depends on it.
    pub wall: WallTime,
}

/// The earlier of two wake-ups.
pub(crate) fn sooner(a: Option<Moment>, b: Option<Moment>) -> Option<Moment> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.since_boot < a.since_boot { b } else { a }),
        (a, b) => a.or(b),
    }
}
