//! Caches of builds at a registry: an image manifest of their own kind under a tag, or an image that carries records.

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, OnceLock};

use super::RegistryError;
use super::blob::{BlobAsk, BlobStream};
use super::client::{Endpoint, Registries};
use super::upload::Uploads;
use crate::builder::exchange::{self, CacheError, CacheSource, CacheTarget, LARGEST, TakeBlob};
use crate::manifest::{Descriptor, Manifest, OCI_MANIFEST};
use crate::platform::Platform;
use crate::progress::Progress;
use crate::reference::Reference;

/// A cache at a registry.
pub struct RegistryCache {
    registries: Arc<Registries>,
    reference: Reference,
    platform: Platform,
    progress: Arc<dyn Progress + Send>,
    /// Where its documents came from: the registry, or a mirror.
    found_at: OnceLock<Endpoint>,
}

impl std::fmt::Debug for RegistryCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryCache").field("reference", &self.reference).finish_non_exhaustive()
    }
}

impl RegistryCache {
    /// `platform` decides where the name stands for several images.
    pub fn new(
        registries: Arc<Registries>,
        reference: Reference,
        platform: Platform,
        progress: Arc<dyn Progress + Send>,
    ) -> Self {
        Self { registries, reference, platform, progress, found_at: OnceLock::new() }
    }

    fn documents_at(&self, endpoint: &Endpoint) -> Result<(Vec<u8>, Vec<u8>), CacheError> {
        let mut reference = self.reference.clone();
        // A name, an index of platforms, and no deeper.
        for _ in 0..2 {
            let fetched = self.registries.manifest(endpoint, &reference)?;
            match exchange::choose(&fetched.bytes, &self.platform)? {
                Some(inner) => reference = self.reference.with_digest(inner.digest),
                None => {
                    let manifest: Manifest =
                        serde_json::from_slice(&fetched.bytes).map_err(CacheError::Records)?;
                    return Ok((fetched.bytes, self.document(endpoint, &manifest.config)?));
                }
            }
        }
        Err(CacheError::Foreign("an index of indexes".to_owned()))
    }

    fn document(&self, endpoint: &Endpoint, blob: &Descriptor) -> Result<Vec<u8>, CacheError> {
        if blob.size > LARGEST {
            return Err(CacheError::TooLong(blob.digest.to_string()));
        }
        let mut bytes = Vec::new();
        self.stream(endpoint, blob).read_to_end(&mut bytes).map_err(broken)?;
        Ok(bytes)
    }

    fn stream<'a>(&'a self, endpoint: &'a Endpoint, blob: &Descriptor) -> BlobStream<'a> {
        let repository = self.reference.repository();
        let asked = BlobAsk { endpoint, repository, digest: blob.digest, size: blob.size };
        BlobStream::new(&self.registries, asked, &*self.progress)
    }

    fn send<T>(&self, send: impl FnOnce(&Uploads<'_>) -> Result<T, RegistryError>) -> Result<T, CacheError> {
        let endpoint = self.registries.endpoint(self.reference.registry());
        let uploads = Uploads {
            registries: &self.registries,
            endpoint: &endpoint,
            repository: self.reference.repository(),
            progress: &*self.progress,
        };
        Ok(send(&uploads)?)
    }
}

fn broken(error: std::io::Error) -> CacheError {
    match error.downcast::<RegistryError>() {
        Ok(error) => CacheError::Registry(error),
        Err(error) => CacheError::Io("reading", error),
    }
}

impl CacheSource for RegistryCache {
    fn name(&self) -> String {
        self.reference.familiar()
    }

    fn documents(&self) -> Result<(Vec<u8>, Vec<u8>), CacheError> {
        self.registries.first_of(&self.reference, |endpoint| {
            let documents = self.documents_at(endpoint)?;
            let _ = self.found_at.set(endpoint.clone());
            Ok(documents)
        })
    }

    fn blob(&self, blob: &Descriptor, take: &mut TakeBlob<'_>) -> Result<(), CacheError> {
        let own = || self.registries.endpoint(self.reference.registry());
        let endpoint = self.found_at.get().cloned().unwrap_or_else(own);
        take(&mut self.stream(&endpoint, blob)).map_err(|error| match error {
            CacheError::Io(_, error) => broken(error),
            other => other,
        })
    }
}

impl CacheTarget for RegistryCache {
    fn name(&self) -> String {
        self.reference.familiar()
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, CacheError> {
        self.send(|uploads| uploads.has(blob.digest))
    }

    fn blob(&self, blob: &Descriptor, content: &File) -> Result<(), CacheError> {
        self.send(|uploads| uploads.blob(blob, None, content))
    }

    fn finish(&self, manifest: &[u8]) -> Result<(), CacheError> {
        let tag = self.reference.tag().unwrap_or("latest");
        self.send(|uploads| uploads.manifest(tag, OCI_MANIFEST, manifest, &self.reference.familiar()))
    }
}
