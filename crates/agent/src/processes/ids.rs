//! Which processes agent, keeper and dns are.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// Process ids of the three, as `agent status` shows them.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    pub(crate) keeper: Arc<AtomicI32>,
    pub(crate) dns: Arc<AtomicI32>,
}

impl Processes {
    /// Agent, keeper, dns; 0 when not running.
    #[must_use]
    pub fn ids(&self) -> [i32; 3] {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        [own, self.keeper.load(Ordering::Relaxed), self.dns.load(Ordering::Relaxed)]
    }
}
