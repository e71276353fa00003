//! Version 1's scales in version 2's.

/// `cpu.shares` (2 to 262144, default 1024) as `cpu.weight` (1 to 10000, default 100).
///
/// The curve goes through both ranges' ends and both defaults, as the OCI runtimes settled in 2025; the
/// straight line used before gave a default container a weight of 39.
pub(super) fn cpu_weight(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    if shares == 262_144 {
        return 10_000;
    }
    // Exact: shares is below 2^18.
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    10_f64.powf(exponent).ceil() as u64
}

/// `blkio.weight` (10 to 1000) as `io.weight` (1 to 10000), linearly.
pub(super) fn io_weight(weight: u16) -> u64 {
    let above = u64::from(weight.clamp(10, 1000) - 10);
    1 + above * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_defaults_meet() {
        assert_eq!([2, 1024, 262_144].map(cpu_weight), [1, 100, 10_000]);
        assert_eq!([0, u64::MAX].map(cpu_weight), [1, 10_000]);
        assert_eq!([10, 1000].map(io_weight), [1, 10_000]);
        assert!((2..262_144).step_by(17).all(|shares| cpu_weight(shares) <= cpu_weight(shares + 17)));
    }
}
