//! Ends the flows of instances that are gone.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Weak;

use tokio::sync::oneshot;

use super::{FabricLink, Inner, lock};
use crate::outcome::{blocking, failed};

/// An instance that is gone.
pub(super) struct Departure {
    addresses: Vec<IpAddr>,
    /// Told, by being dropped, that the flows are ended.
    _ended: oneshot::Sender<Infallible>,
}

impl FabricLink {
    /// Ends the flows to and from an instance that is gone, so that whoever talks to it notices at once, and waits until
    /// that is done: the next instance may get the same addresses, and flows are told apart by addresses alone.
    pub(crate) async fn forget(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses: Vec<IpAddr> = addresses.into_iter().collect();
        if addresses.is_empty() {
            return;
        }
        let (ended, told) = oneshot::channel();
        lock(&self.inner.gone).push(Departure { addresses, _ended: ended });
        self.inner.departures.notify_one();
        let _ = told.await;
    }
}

/// Ends flows to instances that are gone; those that go meanwhile come together in the next turn, since looking for flows
/// costs the same for one as for a hundred.
pub(super) async fn end(inner: Weak<Inner>) {
    while let Some(inner) = inner.upgrade() {
        inner.departures.notified().await;
        let gone = std::mem::take(&mut *lock(&inner.gone));
        let Some(fabric) = lock(&inner.handle).clone() else { continue };
        let addresses: Vec<IpAddr> = gone.iter().flat_map(|one| one.addresses.iter().copied()).collect();
        let ended = blocking(move || fabric.forget_instance(&addresses).map_err(|error| failed(&error)));
        if let Err(error) = ended.await {
            tracing::debug!("flows to instances that are gone: {}", error.what);
        }
    }
}
