//! Pushing: what the registry lacks is sent, several blobs at once, the manifest last.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use flate2::{Compression as Level, GzBuilder};
use ureq::http::Method;

use super::RegistryError;
use super::client::{Ask, Endpoint, Registries, again, nonsense};
use crate::digest::Digest;
use crate::layer::Compression;
use crate::manifest::{Descriptor, Manifest, OCI_MANIFEST, layer_media_type};
use crate::parallel;
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::store::{BlobError, Image, NewImage, RegisterError, Session, Store, StoreError};

const AT_ONCE: usize = 3;
/// Progress is told about once in so many bytes.
const TELL_EVERY: u64 = 256 << 10;

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
        let push = Push { store: self, registries, endpoint: &endpoint, name, image, progress };
        let blobs: Vec<_> = manifest.layers.iter().chain([&manifest.config]).collect();
        parallel::for_each(blobs, AT_ONCE, |blob| push.blob(blob))?;
        push.manifest(&manifest, &bytes)?;
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

struct Push<'a> {
    store: &'a Store,
    registries: &'a Registries,
    endpoint: &'a Endpoint,
    name: &'a Reference,
    image: &'a Image,
    progress: &'a dyn Progress,
}

impl Push<'_> {
    fn scope(&self, from: Option<&str>) -> String {
        let own = format!("repository:{}:pull,push", self.name.repository());
        from.map_or(own.clone(), |from| format!("{own} repository:{from}:pull"))
    }

    fn blob(&self, blob: &Descriptor) -> Result<(), PushError> {
        if self.has(blob.digest)? {
            self.progress.event(Event::Present { digest: blob.digest });
            return Ok(());
        }
        // A failed upload leaves its address unusable, so each try begins with a new one.
        let sent = again(self.progress, || match self.begin(blob.digest)? {
            None => Ok(Ok(())),
            Some(location) => match self.store.blob(blob.digest) {
                Ok(file) => self.upload(blob, &location, file).map(Ok),
                Err(error) => Ok(Err(error)),
            },
        })?;
        Ok(sent?)
    }

    fn has(&self, digest: Digest) -> Result<bool, RegistryError> {
        let url = format!("/v2/{}/blobs/{digest}", self.name.repository());
        let (scope, what) = (self.scope(None), digest.to_string());
        let ask = Ask {
            endpoint: self.endpoint,
            method: Method::HEAD,
            url: &url,
            scope: &scope,
            what: &what,
            headers: &[],
        };
        match self.registries.ask(&ask) {
            Ok(_) => Ok(true),
            Err(RegistryError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Begins an upload and returns its address; `None` if the registry could take the blob over
    /// from another repository of its own, where this image is known to be.
    fn begin(&self, digest: Digest) -> Result<Option<String>, RegistryError> {
        let elsewhere = self.image.references.iter().find(|other| {
            other.registry() == self.name.registry()
                && other.repository() != self.name.repository()
                && other.digest().is_some()
        });
        let from = elsewhere.map(Reference::repository);
        let query =
            from.map_or(String::new(), |from| format!("?mount={digest}&from={}", super::auth::percent(from)));
        let url = format!("/v2/{}/blobs/uploads/{query}", self.name.repository());
        let (scope, what) = (self.scope(from), self.name.familiar());
        let length = [("content-length", "0".to_owned())];
        let ask = Ask {
            endpoint: self.endpoint,
            method: Method::POST,
            url: &url,
            scope: &scope,
            what: &what,
            headers: &length,
        };
        let response = self.registries.send(&ask, None)?;
        if response.status() == 201 {
            self.progress.event(Event::Present { digest });
            return Ok(None);
        }
        let location = response.headers().get("location").and_then(|value| value.to_str().ok());
        location
            .map(|location| Some(location.to_owned()))
            .ok_or_else(|| nonsense(&ask, "an upload has no address"))
    }

    fn upload(&self, blob: &Descriptor, location: &str, file: File) -> Result<(), RegistryError> {
        let separator = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{separator}digest={}", super::auth::percent(&blob.digest.to_string()));
        let (scope, what) = (self.scope(None), blob.digest.to_string());
        let headers = [
            ("content-type", "application/octet-stream".to_owned()),
            ("content-length", blob.size.to_string()),
        ];
        let ask = Ask {
            endpoint: self.endpoint,
            method: Method::PUT,
            url: &url,
            scope: &scope,
            what: &what,
            headers: &headers,
        };
        self.progress.event(Event::Sending { blob: blob.digest, total: blob.size });
        let mut content = Told { file, bytes: 0, told: 0, blob: blob.digest, progress: self.progress };
        self.registries.send(&ask, Some(&mut content))?;
        self.progress.event(Event::Sent { blob: blob.digest, bytes: blob.size });
        Ok(())
    }

    fn manifest(&self, manifest: &Manifest, bytes: &[u8]) -> Result<(), RegistryError> {
        let media_type = if manifest.media_type.is_empty() { OCI_MANIFEST } else { &manifest.media_type };
        let url = format!("/v2/{}/manifests/{}", self.name.repository(), self.name.tag().unwrap_or("latest"));
        let (scope, what) = (self.scope(None), self.name.familiar());
        let headers = [("content-type", media_type.to_owned()), ("content-length", bytes.len().to_string())];
        let ask = Ask {
            endpoint: self.endpoint,
            method: Method::PUT,
            url: &url,
            scope: &scope,
            what: &what,
            headers: &headers,
        };
        again(self.progress, || self.registries.send(&ask, Some(&mut io::Cursor::new(bytes)))).map(drop)
    }
}

/// Tells how much has been sent.
struct Told<'p> {
    file: File,
    bytes: u64,
    told: u64,
    blob: Digest,
    progress: &'p dyn Progress,
}

impl Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.is_cancelled() {
            return Err(io::Error::other(RegistryError::Cancelled));
        }
        let n = self.file.read(buffer)?;
        self.bytes += n as u64;
        if self.bytes - self.told >= TELL_EVERY {
            self.told = self.bytes;
            self.progress.event(Event::Sent { blob: self.blob, bytes: self.bytes });
        }
        Ok(n)
    }
}

impl Seek for Told<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes = self.file.seek(to)?;
        self.told = self.bytes;
        Ok(self.bytes)
    }
}
