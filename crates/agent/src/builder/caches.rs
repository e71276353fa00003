//! Caches of builds elsewhere, as a request names them: at registries, or in folders that the client reads and writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hoist_image::builder::exchange::{CacheSource, CacheTarget, Caches, Export, FolderCache};
use hoist_image::builder::plan::Request;
use hoist_image::layer::Compression;
use hoist_image::progress::{Event, Progress};
use hoist_image::registry::RegistryCache;
use hoist_wire::ApiError;
use hoist_wire::build::{BuildRequest, CachePlace};

use super::folder::{Asks, Remote};
use super::references;
use crate::api::Agent;

/// BuildKit's way to ask for records in the image.
pub(super) const INLINE: &str = "BUILDKIT_INLINE_CACHE";

/// Ends transfers when the client goes.
struct UntilGone(Arc<AtomicBool>);

impl Progress for UntilGone {
    fn event(&self, _: Event) {}

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the caches of one build share.
struct Way<'a> {
    agent: &'a Agent,
    wanted: &'a BuildRequest,
    request: &'a Request,
    asks: &'a Arc<Asks>,
    gone: &'a Arc<AtomicBool>,
}

impl Agent {
    /// The caches that a build reads and writes. Nothing is read yet.
    pub(super) fn caches(
        &self,
        wanted: &BuildRequest,
        request: &Request,
        asks: &Arc<Asks>,
        gone: &Arc<AtomicBool>,
    ) -> Result<Caches, ApiError> {
        let way = Way { agent: self, wanted, request, asks, gone };
        let asked = wanted.arguments.get(INLINE).is_some_and(|value| value == "1" || value == "true");
        let mut caches = Caches { inline: asked, ..Caches::default() };
        for place in &wanted.cache_from {
            let source: Box<dyn CacheSource> = match place {
                CachePlace::Folder { .. } => Box::new(way.folder(place)?),
                CachePlace::Registry(name) => Box::new(way.registry(name)?),
                CachePlace::Inline => continue,
            };
            caches.from.push(source);
        }
        for export in &wanted.cache_to {
            let target: Box<dyn CacheTarget> = match &export.place {
                place @ CachePlace::Folder { .. } => Box::new(way.folder(place)?),
                CachePlace::Registry(name) => Box::new(way.registry(name)?),
                CachePlace::Inline => {
                    caches.inline = true;
                    continue;
                }
            };
            let compression = match &export.compression[..] {
                "zstd" => Compression::Zstd,
                "uncompressed" => Compression::None,
                _ => Compression::Gzip,
            };
            caches.to.push(Export { target, all: export.all, compression, required: export.required });
        }
        Ok(caches)
    }
}

impl Way<'_> {
    fn registry(&self, name: &str) -> Result<RegistryCache, ApiError> {
        let reference = references(&[name.to_owned()])?.remove(0);
        let registries = self.agent.host.images.way_to(&reference, &self.wanted.access)?;
        let platform = self.request.platform.clone().unwrap_or_else(|| self.request.build_platform.clone());
        let until = Arc::new(UntilGone(Arc::clone(self.gone)));
        Ok(RegistryCache::new(Arc::new(registries), reference, platform, until))
    }

    fn folder(&self, place: &CachePlace) -> Result<FolderCache<Remote>, ApiError> {
        let CachePlace::Folder { name, path, tag, digest } = place else {
            return Err(ApiError::new(hoist_wire::ErrorKind::Invalid, "the cache is in no folder"));
        };
        let bad = |error: hoist_image::digest::DigestError| {
            ApiError::new(hoist_wire::ErrorKind::Invalid, format!("the cache {path}: {error}"))
        };
        let digest = digest.as_deref().map(|text| text.parse().map_err(bad)).transpose()?;
        let remote = Remote { name: name.clone(), asks: Arc::clone(self.asks) };
        Ok(FolderCache::new(remote, path.clone(), tag.clone(), digest))
    }
}
