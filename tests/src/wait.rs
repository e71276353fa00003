//! Waiting for a condition, with a bound. Nothing sleeps for luck.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// Asks `probe` until it gives something.
///
/// # Panics
/// When it gives nothing within `bound`; the message names `what`.
pub fn wait_for<T>(what: &str, bound: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {bound:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Asks until the answer is yes.
///
/// # Panics
/// When it isn't within `bound`.
pub fn eventually(what: &str, bound: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, bound, || condition().then_some(()));
}
