//! Has the fabric mended when somebody else changes it, and says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hoist_netfabric as net;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::chain::chain;

/// So many repairs in [`SOON`] are a dispute.
const DISPUTE: usize = 20;
const SOON: Duration = Duration::from_secs(10);
/// A dispute is over when nothing had to be repaired for this long.
const QUIET: Duration = Duration::from_secs(60);

/// Mends until it is aborted: when something was changed, and when `doubt` is notified. Notifies `ports` when links to
/// instances are gone, with the instances or without.
pub(super) fn start(fabric: &Arc<net::Fabric>, doubt: Arc<Notify>, ports: Arc<Notify>) -> AbortHandle {
    let fabric = Arc::downgrade(fabric);
    let task = async move {
        let mut log = Log::default();
        let tell = |outcome: Result<net::Mended, net::ConvergeError>| match outcome {
            Ok(mended) => {
                log.repaired(&mended);
                if mended.ports_gone {
                    ports.notify_one();
                }
            }
            Err(error) => log.failed(&chain(&error)),
        };
        if let Err(error) = net::keep_mended(fabric, &doubt, tell).await {
            tracing::warn!("changes of the network by others are seen late: {error}");
        }
    };
    tokio::spawn(task).abort_handle()
}

/// What was said of repairs. Somebody who keeps changing the network is told of once, not each time.
#[derive(Debug, Default)]
struct Log {
    recent: Vec<Instant>,
    disputed: Option<Instant>,
    failure: Option<String>,
}

impl Log {
    fn repaired(&mut self, mended: &net::Mended) {
        self.failure = None;
        let net::Mended { cause, repairs, .. } = mended;
        if repairs.ops.is_empty() {
            return;
        }
        repairs.notices.iter().for_each(|notice| tracing::warn!("{notice}"));
        let ops: Vec<String> = repairs.ops.iter().map(ToString::to_string).collect();
        let (cause, ops) = (cause.as_deref().unwrap_or_default(), ops.join("; "));
        if self.is_disputed(Instant::now()) {
            return tracing::debug!(cause, repairs = ops, "the network was repaired");
        }
        tracing::warn!(
            cause,
            repairs = ops,
            "something else on this host changed the network; it was repaired"
        );
        if self.disputed.is_some() {
            tracing::warn!(
                "something else on this host keeps changing the network; it is repaired each time, but not reported \
                 again before a minute without changes"
            );
        }
    }

    /// Whether the dispute was known before this repair.
    fn is_disputed(&mut self, now: Instant) -> bool {
        let known = self.disputed.is_some_and(|last| now.duration_since(last) < QUIET);
        self.recent.retain(|repair| now.duration_since(*repair) < SOON);
        self.recent.push(now);
        self.disputed = (known || self.recent.len() > DISPUTE).then_some(now);
        known
    }

    /// The same failure is said once.
    fn failed(&mut self, failure: &str) {
        if self.failure.as_deref() != Some(failure) {
            tracing::error!("the network can't be repaired: {failure}");
            self.failure = Some(failure.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_keeps_changing_the_network_is_told_of_once_until_there_was_quiet() {
        let mut log = Log::default();
        let start = Instant::now();
        let told = (0..100).filter(|n| !log.is_disputed(start + Duration::from_millis(100 * n))).count();
        assert_eq!(told, DISPUTE + 1);
        let later = start + QUIET + SOON + Duration::from_secs(1);
        assert!(!log.is_disputed(later), "after a quiet minute it is news again");
        let seldom = (1..100).filter(|n| !log.is_disputed(later + SOON * *n)).count();
        assert_eq!(seldom, 99, "what happens now and then is always told");
    }
}
