//! Sends specs and endpoints to one host until it has accepted the newest.

use std::sync::Arc;
use std::time::Duration;

use hoist_model::{Endpoints, Generation, HostSpec};
use hoist_wire::{HostApi, PutSpecError};
use tokio::sync::watch;

use crate::loops::Loops;

const RETRY: Duration = Duration::from_millis(500);

/// What a host should get. A newer value takes an older one's place, also while that is still being sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    spec: watch::Sender<Option<Arc<HostSpec>>>,
    endpoints: watch::Sender<Option<Arc<Endpoints>>>,
}

impl Outbox {
    /// Starts sending to `host`; `outdated` is told when the host has a newer spec than ours.
    pub(crate) fn start(
        host: &Arc<dyn HostApi>,
        outdated: impl Fn(Generation) + Send + 'static,
        loops: &mut Loops,
    ) -> Self {
        let outbox = Self::default();
        let (api, mut specs) = (Arc::clone(host), outbox.spec.subscribe());
        loops.spawn(async move {
            while specs.changed().await.is_ok() {
                let Some(spec) = specs.borrow_and_update().clone() else { continue };
                if let Err(current) = send_spec(&*api, &spec, &specs).await {
                    outdated(current);
                }
            }
            Ok(())
        });
        let (api, mut endpoints) = (Arc::clone(host), outbox.endpoints.subscribe());
        loops.spawn(async move {
            while endpoints.changed().await.is_ok() {
                let Some(wanted) = endpoints.borrow_and_update().clone() else { continue };
                while api.put_endpoints((*wanted).clone()).await.is_err()
                    && !endpoints.has_changed().unwrap_or(true)
                {
                    tokio::time::sleep(RETRY).await;
                }
            }
            Ok(())
        });
        outbox
    }

    pub(crate) fn put_spec(&self, spec: HostSpec) {
        self.spec.send_replace(Some(Arc::new(spec)));
    }

    pub(crate) fn put_endpoints(&self, endpoints: Endpoints) {
        self.endpoints.send_replace(Some(Arc::new(endpoints)));
    }
}

/// Sends until accepted, refused as outdated (then the host's generation is the error), or until a newer one waits.
async fn send_spec(
    api: &dyn HostApi,
    spec: &HostSpec,
    specs: &watch::Receiver<Option<Arc<HostSpec>>>,
) -> Result<(), Generation> {
    loop {
        match api.put_host_spec(spec.clone()).await {
            Ok(()) => return Ok(()),
            Err(PutSpecError::Outdated { current, .. }) => return Err(current),
            // What it has under this number is not ours: only a later one gets through.
            Err(PutSpecError::Altered(taken)) => return Err(Generation { n: taken.n + 1, ..taken }),
            Err(PutSpecError::NotStored(_) | PutSpecError::Api(_)) => tokio::time::sleep(RETRY).await,
        }
        if specs.has_changed().unwrap_or(true) {
            return Ok(());
        }
    }
}
