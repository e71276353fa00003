//! Builds under way, as the agent's own end sees them: it cancels them, and stays until they have cleaned up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, RwLock};

/// How long a build may take to end its commands and remove its folders.
const PATIENCE: Duration = Duration::from_secs(10);

/// All builds of an agent. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnderWay {
    ending: Arc<AtomicBool>,
    /// Each build reads; who waits to write waits for all, and lets none begin.
    running: Arc<RwLock<()>>,
}

/// Held while a build has something to clean up.
pub(super) type Running = OwnedRwLockReadGuard<()>;

impl UnderWay {
    /// Nothing when the agent ends.
    pub(super) fn begin(&self) -> Option<Running> {
        let running = Arc::clone(&self.running).try_read_owned().ok();
        running.filter(|_| !self.is_ending())
    }

    /// Whether builds shall end as soon as they can.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Asks all to end.
    pub(crate) fn cancel(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Asks all to end, and waits until they have. What takes too long, the next agent ends.
    pub(crate) async fn end(&self) {
        self.cancel();
        if tokio::time::timeout(PATIENCE, self.running.write()).await.is_err() {
            tracing::warn!("a build has not ended within {PATIENCE:?}");
        }
    }
}
