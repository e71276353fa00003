//! Locks on steps: of builds that want the same step at the same time one does it, and the others take what it leaves.
//!
//! Only builds of one open store wait for each other. Those of another process do the work a second time, and come to
//! the same layer.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::digest::Digest;

/// How often one who waits is asked whether it still wants to.
const PATIENCE: Duration = Duration::from_millis(100);

/// Steps that are being done, by key.
#[derive(Debug, Default)]
pub(crate) struct StepLocks {
    taken: Mutex<HashSet<Digest>>,
    change: Condvar,
}

/// The right to do a step, until it is dropped: a failure, too, hands it on.
#[derive(Debug)]
pub(in crate::builder) struct StepLock<'a> {
    locks: &'a StepLocks,
    key: Digest,
}

impl StepLocks {
    /// Waits until nobody else does the step; nothing when it is cancelled before.
    pub(in crate::builder) fn take(
        &self,
        key: Digest,
        is_cancelled: impl Fn() -> bool,
    ) -> Option<StepLock<'_>> {
        let mut taken = self.lock();
        while !taken.insert(key) {
            if is_cancelled() {
                return None;
            }
            let waited = self.change.wait_timeout(taken, PATIENCE);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(StepLock { locks: self, key })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StepLock<'_> {
    fn drop(&mut self) {
        self.locks.lock().remove(&self.key);
        self.locks.change.notify_all();
    }
}
