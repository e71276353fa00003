//! A small generator of its own: a seed must mean the same simulation for ever, whatever a library's next version does.

use std::time::Duration;

/// Vigna's SplitMix64: good enough to choose faults, and five lines.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A duration below `bound`, mostly short: the logarithm is even.
    pub fn duration(&mut self, bound: Duration) -> Duration {
        let shift = self.below(12);
        let bound = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX) >> shift;
        Duration::from_micros(self.below(bound.max(1)))
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let n = self.below(from.len().max(1) as u64);
        &from[usize::try_from(n).unwrap_or(0)]
    }
}
