//! Images of this host: settles, fetches, sends, lists and removes them, and says which layers an instance stands on.
//!
//! Owns the threads that the store's blocking work runs on, transfers under way, and what registries are declared.
//! Which image is pulled or removed is decided in `hoist_planner::images`.

mod api;
mod archive;
mod artifact;
mod collect;
mod config;
mod explain;
mod list;
mod look_up;
mod pin;
mod pull;
mod push;
mod registries;
mod resolve;
mod times;
mod transfer;
mod usage;

use std::path::PathBuf;
use std::sync::Arc;

use hoist_image::registry::Registries;
use hoist_image::{Digest, Image, Reference, Store};
use hoist_model::{ImageSource, ResolvedImage};
use hoist_planner::host::StepError;
use hoist_wire::{ApiError, ErrorKind, RegistryAccess};

use crate::layout::Layout;
use crate::outcome::{failed, refused};

/// The image store and the way to registries, as the agent uses them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    store: Arc<Store>,
    pulls: Arc<pull::Pulls>,
    times: Arc<times::Times>,
    declared: registries::Declared,
}

impl Images {
    /// The store itself, for builds.
    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// The way to the registry of a name, for what is no image.
    pub(crate) fn way_to(&self, name: &Reference, access: &RegistryAccess) -> Result<Registries, ApiError> {
        self.declared.way_to(name.registry(), access)
    }

    /// Notes that an image was just built or settled, so that collection takes others first.
    pub(crate) fn use_now(&self, id: Digest) {
        self.times.use_now(id);
    }

    /// Opens the store.
    pub(crate) fn open(layout: &Layout) -> Result<Self, hoist_image::store::StoreError> {
        Ok(Self {
            store: Arc::new(Store::open(&layout.images())?),
            pulls: Arc::default(),
            times: Arc::new(times::Times::open(layout.image_times())),
            declared: registries::Declared::of(layout.root()),
        })
    }

    /// The read-only layers below an instance, the topmost first.
    pub(crate) fn layers(&self, image: &ResolvedImage) -> Result<Vec<PathBuf>, StepError> {
        if let ImageSource::Rootfs(dir) = &image.source {
            return Ok(vec![dir.clone()]);
        }
        let missing = |name: &str| {
            refused(format!("image {name} is not in the store any more"), "run `hoist up` again")
        };
        let digest = image.digest.as_ref().map(ToString::to_string).unwrap_or_default();
        let id = digest.parse().map_err(|_| missing(&digest))?;
        let found = self.store.image_by_id(id).map_err(|error| failed(&error))?;
        Ok(found.ok_or_else(|| missing(&digest))?.layers)
    }

    /// The image that a person means by a name or the beginning of an id.
    fn find(&self, name: &str) -> Result<Image, ApiError> {
        let found = self.store.find(name).map_err(|error| ApiError::internal(&error))?;
        found.ok_or_else(|| {
            ApiError::new(ErrorKind::NotFound, format!("there is no image {name} on this host"))
                .hint("`hoist image ls` lists what is here; `hoist image pull` fetches one")
        })
    }

    /// Runs blocking work of the store on a thread for it.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let images = self.clone();
        tokio::task::spawn_blocking(move || work(&images))
            .await
            .map_err(|error| ApiError::internal(&error))?
    }
}

/// A reference as people write it.
fn reference(text: &str) -> Result<Reference, ApiError> {
    text.parse().map_err(|error: hoist_image::reference::ReferenceError| {
        let why = crate::chain::chain(&error);
        ApiError::new(ErrorKind::Invalid, format!("image {text:?}: {why}"))
    })
}

/// Ids as the store has them; what is no digest names nothing there.
fn ids(digests: &[hoist_model::Digest]) -> Vec<Digest> {
    digests.iter().filter_map(|digest| digest.0.parse().ok()).collect()
}
