//! What became of requests.

use std::ops::AddAssign;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    /// Connects that were refused or not answered in time.
    pub(super) refused: u64,
    /// Answers cut after their first byte, and first requests on a connection that got none.
    pub(super) cut: u64,
    /// Requests on a connection that had been used before and was closed before any byte of the answer: asked again once,
    /// as RFC 9112, section 9.3.1, allows.
    pub(super) retried: u64,
    /// The longest time in which no client got an answer.
    pub(super) gap: Duration,
}

impl Tally {
    /// Those that a person would have noticed.
    pub(super) fn lost(&self) -> u64 {
        self.refused + self.cut
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.refused += other.refused;
        self.cut += other.cut;
        self.retried += other.retried;
        self.gap = self.gap.max(other.gap);
    }
}
