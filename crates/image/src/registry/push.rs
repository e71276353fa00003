//! Pushing: what the registry lacks is sent, several blobs at once, the manifest last.

use std::collections::HashMap;
use std::io::{self, Write};

use flate2::{Compression as Level, GzBuilder};

use super::RegistryError;
use super::client::Registries;
use super::upload::Uploads;
use crate::digest::Digest;
use crate::layer::Compression;
use crate::manifest::{Descriptor, Manifest, OCI_MANIFEST, layer_media_type};
use crate::parallel;
use crate::progress::Progress;
use crate::reference::Reference;
use crate::store::{BlobError, Image, NewImage, RegisterError, Session, Store, StoreError};

/// Blobs that are sent at once.
const AT_ONCE: usize = 3;

/// Why an image was not pushed. Blobs that arrived stay at the registry for the next try.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error("compressing layer {layer} failed")]
    Compress { layer: Digest, source: io::Error },
    #[error("{0} pins a digest; an image is pushed to a tag")]
    Pinned(String),
}

/// An image that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest's digest, by which the registry has it.
    pub digest: Digest,
    pub size: u64,
}

impl Store {
    /// Pushes `image` as `name`. Layers that are kept uncompressed, as archives of `docker save`
    /// have them, are compressed first; the image then has the new manifest here too.
    pub fn push(
        &self,
        registries: &Registries,
        image: &Image,
        name: &Reference,
        progress: &dyn Progress,
    ) -> Result<Pushed, PushError> {
        if name.digest().is_some() {
            return Err(PushError::Pinned(name.familiar()));
        }
        let session = self.session()?;
        let bytes = self.pushable(&session, image)?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(RegisterError::Config)?;
        let endpoint = registries.endpoint(name.registry());
        let uploads = Uploads { registries, endpoint: &endpoint, repository: name.repository(), progress };
        let there = known_there(self, name);
        let blobs: Vec<_> = manifest.layers.iter().chain([&manifest.config]).collect();
        parallel::for_each(blobs, AT_ONCE, |blob| {
            let elsewhere = there.get(&blob.digest).map(String::as_str);
            Ok::<_, PushError>(uploads.blob(blob, elsewhere, &self.blob(blob.digest)?)?)
        })?;
        let media_type = if manifest.media_type.is_empty() { OCI_MANIFEST } else { &manifest.media_type };
        uploads.manifest(name.tag().unwrap_or("latest"), media_type, &bytes, &name.familiar())?;
        let digest = Digest::of(&bytes);
        let config = self.document(image.id)?;
        session.register(&NewImage {
            manifest: bytes.clone(),
            config,
            names: vec![name.clone(), name.with_digest(digest)],
        })?;
        Ok(Pushed { digest, size: bytes.len() as u64 })
    }

    /// The image's manifest, with every layer compressed.
    fn pushable(&self, session: &Session<'_>, image: &Image) -> Result<Vec<u8>, PushError> {
        let bytes = self.document(image.manifest)?;
        let documents = self.documents(image.manifest, image.id)?;
        let mut layers = Vec::new();
        for layer in &documents.manifest.layers {
            layers.push(match session.blob_compression(layer.digest)? {
                Compression::None => self.compressed(session, layer)?,
                _ => layer.clone(),
            });
        }
        if layers == documents.manifest.layers {
            return Ok(bytes);
        }
        let manifest = Manifest::new(documents.manifest.config, layers);
        Ok(serde_json::to_vec(&manifest).map_err(RegisterError::Config)?)
    }

    /// The layer compressed, always to the same bytes.
    fn compressed(&self, session: &Session<'_>, layer: &Descriptor) -> Result<Descriptor, PushError> {
        let failed = |source| PushError::Compress { layer: layer.digest, source };
        let mut from = self.blob(layer.digest)?;
        let mut gzip = GzBuilder::new().mtime(0).write(session.blob_writer()?, Level::new(6));
        io::copy(&mut from, &mut gzip).map_err(failed)?;
        let mut writer = gzip.finish().map_err(failed)?;
        writer.flush().map_err(failed)?;
        let spooled = writer.finish();
        session.keep(&spooled)?;
        Ok(Descriptor::new(&layer_media_type(Compression::Gzip), spooled.digest, spooled.size))
    }
}

/// Repositories of the registry that are known to have blobs, by blob: an image of the store came from there, or was
/// sent there.
fn known_there(store: &Store, name: &Reference) -> HashMap<Digest, String> {
    let mut there = HashMap::new();
    for (other, documents) in store.names_by_digest().unwrap_or_default() {
        if other.registry() == name.registry() && other.repository() != name.repository() {
            let blobs = documents.manifest.layers.iter().chain([&documents.manifest.config]);
            there.extend(blobs.map(|blob| (blob.digest, other.repository().to_owned())));
        }
    }
    there
}
