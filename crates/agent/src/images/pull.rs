//! Pulls: one for each image at a time, however many ask for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hoist_image::Reference;
use hoist_image::platform::Platform;
use hoist_model::Digest;
use hoist_wire::{ApiError, PulledImage, RegistryAccess, WorkStream};
use tokio::sync::watch;

use super::transfer::{Counter, State, Way, follow};
use super::{Images, explain};

type Key = (Reference, Platform);
type Transfer = Arc<watch::Sender<State<PulledImage>>>;

/// Pulls under way.
#[derive(Debug, Default)]
pub(super) struct Pulls(Mutex<HashMap<Key, Transfer>>);

impl Pulls {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Transfer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Images {
    /// Pulls an image, or joins those who are pulling it.
    pub(crate) fn pull(
        &self,
        name: Reference,
        platform: Platform,
        access: RegistryAccess,
    ) -> WorkStream<PulledImage> {
        let shown = name.familiar();
        let key = (name, platform);
        let mut under_way = self.pulls.lock();
        // One that everybody has left is just ending, and one that is over may be out of date.
        let joined = under_way.get(&key).filter(|pull| !pull.is_closed() && !pull.borrow().is_over());
        if let Some(pull) = joined {
            return follow(shown, pull.subscribe());
        }
        let (sender, receiver) = watch::channel(State::new(Way::Pull));
        let sender = Arc::new(sender);
        under_way.insert(key.clone(), Arc::clone(&sender));
        drop(under_way);
        let images = self.clone();
        tokio::task::spawn_blocking(move || {
            let outcome = images.pull_now(&key, &access, &sender);
            let mut under_way = images.pulls.lock();
            if under_way.get(&key).is_some_and(|current| Arc::ptr_eq(current, &sender)) {
                under_way.remove(&key);
            }
            sender.send_modify(|state| state.end(outcome));
        });
        follow(shown, receiver)
    }

    fn pull_now(
        &self,
        (name, platform): &Key,
        access: &RegistryAccess,
        transfer: &watch::Sender<State<PulledImage>>,
    ) -> Result<PulledImage, ApiError> {
        let shown = name.familiar();
        let registries = self.declared.way_to(name.registry(), access)?;
        let pulled = self.store.pull(&registries, name, platform, &Counter(transfer));
        let pulled = pulled.map_err(|error| explain::pull(&shown, &error));
        let pulled = pulled.inspect_err(|error| {
            tracing::warn!(image = shown, error = error.message, "image pull failed");
        })?;
        let (id, digest) = (pulled.id, pulled.digest);
        tracing::info!(image = shown, %id, %digest, up_to_date = pulled.up_to_date, "image pulled");
        self.times.pull_now(name, pulled.id);
        Ok(PulledImage {
            reference: shown,
            id: Digest(pulled.id.to_string()),
            digest: Digest(pulled.digest.to_string()),
            up_to_date: pulled.up_to_date,
        })
    }
}
