//! Pulling: each layer is fetched, verified, decompressed and unpacked as one stream, several at once.

use std::io::{self, Read, Write};

use super::RegistryError;
use super::blob::{BlobAsk, BlobStream};
use super::client::{Endpoint, Registries};
use crate::digest::Digest;
use crate::manifest::{Descriptor, Document, Manifest, ManifestError};
use crate::parallel;
use crate::platform::Platform;
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::store::{
    BlobError, BlobWriter, Documents, LayerError, NewImage, RegisterError, Session, Spooled, Store,
    StoreError,
};

/// Layers under way at once: enough to keep both the line and the processors busy.
const AT_ONCE: usize = 4;
/// Deepest nesting of indexes that is followed.
const DEEPEST: usize = 4;

/// Why an image was not pulled. Layers that were complete stay for the next try until collected.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error("manifest {digest} can't be used")]
    Manifest { digest: Digest, source: ManifestError },
    #[error("{reference} is not there for {wanted}, only for {}", .found.join(", "))]
    Platform { reference: String, wanted: Platform, found: Vec<String> },
    #[error("the indexes of {0} are nested too deeply")]
    Nested(String),
    #[error("writing to the store failed")]
    Write(#[source] io::Error),
    #[error("blob {0} is not as long as its manifest says")]
    Length(Digest),
}

impl PullError {
    /// Whether another endpoint may do better: what this one has is not there, or not what it should be.
    fn is_the_endpoints(&self) -> bool {
        match self {
            Self::Registry(error) => !matches!(error, RegistryError::Cancelled),
            Self::Blob(BlobError::Store(_))
            | Self::Register(RegisterError::Store(_))
            | Self::Layer(LayerError::Store(_) | LayerError::Blob { .. })
            | Self::Store(_)
            | Self::Write(_) => false,
            Self::Blob(_)
            | Self::Register(_)
            | Self::Layer(LayerError::Unpack { .. })
            | Self::Manifest { .. }
            | Self::Platform { .. }
            | Self::Nested(_)
            | Self::Length(_) => true,
        }
    }
}

/// An image that was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    pub id: Digest,
    /// What the registry calls the tag's content: the digest to pin. It may be an index's.
    pub digest: Digest,
    /// Whether the store had it already.
    pub up_to_date: bool,
}

impl Store {
    /// Pulls `reference` for `platform` and gives it its name, and its name by digest. Mirrors are
    /// asked first; the registry itself has the last word.
    pub fn pull(
        &self,
        registries: &Registries,
        reference: &Reference,
        platform: &Platform,
        progress: &dyn Progress,
    ) -> Result<Pulled, PullError> {
        let mut endpoints = registries.endpoints(reference.registry()).into_iter().peekable();
        loop {
            // There is always the registry itself.
            let endpoint = endpoints.next().unwrap_or_else(|| registries.endpoint(reference.registry()));
            let pull = Pull { store: self, registries, endpoint: &endpoint, reference, platform, progress };
            match pull.run() {
                Err(error) if endpoints.peek().is_some() && error.is_the_endpoints() => {}
                other => return other,
            }
        }
    }
}

struct Pull<'a> {
    store: &'a Store,
    registries: &'a Registries,
    endpoint: &'a Endpoint,
    reference: &'a Reference,
    platform: &'a Platform,
    progress: &'a dyn Progress,
}

impl Pull<'_> {
    fn run(&self) -> Result<Pulled, PullError> {
        // Asking for the digest alone counts against no limit.
        let digest = self.registries.manifest_digest(self.endpoint, self.reference)?;
        if let Some(pulled) = digest.map(|digest| self.known(digest)).transpose()?.flatten() {
            return Ok(pulled);
        }
        let fetched = self.registries.manifest(self.endpoint, self.reference)?;
        let (manifest, bytes) = self.descend(fetched.digest, fetched.bytes, DEEPEST)?;
        let session = self.store.session()?;
        let config = self.small_blob(&session, &manifest.config)?;
        let documents = Documents::parse(&bytes, &config)?;
        self.layers(&session, &documents)?;
        let names = self.names(fetched.digest);
        let id = session.register(&NewImage { manifest: bytes, config, names })?;
        Ok(Pulled { id, digest: fetched.digest, up_to_date: false })
    }

    fn names(&self, digest: Digest) -> Vec<Reference> {
        let pinned = self.reference.with_digest(digest);
        match self.reference.digest() {
            Some(_) => vec![pinned],
            None => vec![self.reference.clone(), pinned],
        }
    }

    /// The image, if the store has it complete under this digest; then it gets its names.
    fn known(&self, digest: Digest) -> Result<Option<Pulled>, PullError> {
        let Ok(Some(image)) = self.store.resolve(&self.reference.with_digest(digest)) else {
            return Ok(None);
        };
        let host = Platform {
            os: image.config.os().to_string(),
            architecture: image.config.architecture().to_string(),
            variant: None,
        };
        if host.fitness(self.platform).is_none() {
            return Ok(None);
        }
        let pinned = self.reference.with_digest(digest);
        let up_to_date = image.references.contains(self.reference);
        for name in self.names(digest) {
            self.store.tag(&pinned, &name)?;
        }
        Ok(Some(Pulled { id: image.id, digest, up_to_date }))
    }

    fn descend(
        &self,
        digest: Digest,
        bytes: Vec<u8>,
        depth: usize,
    ) -> Result<(Manifest, Vec<u8>), PullError> {
        let index = match Document::parse(&bytes).map_err(|source| PullError::Manifest { digest, source })? {
            Document::Manifest(manifest) => return Ok((manifest, bytes)),
            Document::Index(_) if depth == 0 => return Err(PullError::Nested(self.reference.familiar())),
            Document::Index(index) => index,
        };
        let entry = index.choose(self.platform).ok_or_else(|| PullError::Platform {
            reference: self.reference.familiar(),
            wanted: self.platform.clone(),
            found: index.platforms(),
        })?;
        let inner = self.registries.manifest(self.endpoint, &self.reference.with_digest(entry.digest))?;
        self.descend(inner.digest, inner.bytes, depth - 1)
    }

    fn stream(&self, blob: &Descriptor) -> BlobStream<'_> {
        let asked = BlobAsk {
            endpoint: self.endpoint,
            repository: self.reference.repository(),
            digest: blob.digest,
            size: blob.size,
        };
        BlobStream::new(self.registries, asked, self.progress)
    }

    /// A configuration: fetched into the store if it isn't there, and read.
    fn small_blob(&self, session: &Session<'_>, blob: &Descriptor) -> Result<Vec<u8>, PullError> {
        if !session.has_blob(blob.digest)? {
            let mut writer = session.blob_writer()?;
            let mut stream = self.stream(blob);
            copy(&mut stream, &mut writer)?;
            session.keep(&self.checked(writer, blob)?)?;
        }
        Ok(self.store.document(blob.digest)?)
    }

    fn layers(&self, session: &Session<'_>, documents: &Documents) -> Result<(), PullError> {
        let mut missing: Vec<(Digest, &Descriptor)> = Vec::new();
        for (&diff_id, blob) in documents.diff_ids.iter().zip(&documents.manifest.layers) {
            let (has_layer, has_blob) = (session.has_layer(diff_id)?, session.has_blob(blob.digest)?);
            if has_layer && has_blob {
                self.progress.event(Event::Present { digest: diff_id });
            } else if !missing.iter().any(|&(known, _)| known == diff_id) {
                missing.push((diff_id, blob));
            }
        }
        parallel::for_each(missing, AT_ONCE, |(diff_id, blob)| match self.layer(session, diff_id, blob) {
            // What came was not what was asked for: a cache on the way may have been wrong, once.
            Err(PullError::Registry(RegistryError::Digest { .. }) | PullError::Layer(_))
                if !self.progress.is_cancelled() =>
            {
                self.layer(session, diff_id, blob)
            }
            other => other,
        })
    }

    fn layer(&self, session: &Session<'_>, diff_id: Digest, blob: &Descriptor) -> Result<(), PullError> {
        if session.has_blob(blob.digest)? {
            return Ok(session.unpack_missing(&[(diff_id, blob.digest)], self.progress)?);
        }
        let mut tee = Tee { from: self.stream(blob), to: session.blob_writer()?, failed: None };
        let unpacked = match session.has_layer(diff_id)? {
            true => Ok(()),
            false => session.unpack(diff_id, &mut tee, self.progress),
        };
        // What follows the compressed data is part of the blob too.
        let rest = io::copy(&mut tee, &mut io::sink());
        let Tee { to, failed, .. } = tee;
        if let Some(failure) = failed {
            return Err(failure);
        }
        rest.map_err(PullError::Write)?;
        // If the blob is wrong, that says more than what unpacking made of it.
        let spooled = self.checked(to, blob)?;
        unpacked?;
        Ok(session.keep(&spooled)?)
    }

    fn checked(&self, writer: BlobWriter, blob: &Descriptor) -> Result<Spooled, PullError> {
        let spooled = writer.finish();
        match (blob.digest, spooled.digest) {
            _ if spooled.size != blob.size => Err(PullError::Length(blob.digest)),
            (wanted, found) if wanted != found => {
                Err(RegistryError::Digest { registry: self.endpoint.host.clone(), wanted, found }.into())
            }
            _ => Ok(spooled),
        }
    }
}

/// Writes what is read to the blob, and keeps the failure of either side apart from what a decoder
/// makes of it.
struct Tee<R> {
    from: R,
    to: BlobWriter,
    failed: Option<PullError>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let fail = |failed: &mut Option<PullError>, error: PullError| {
            let kind = io::Error::other(error.to_string());
            *failed = Some(error);
            kind
        };
        let n = match self.from.read(buffer) {
            Ok(n) => n,
            Err(error) => {
                return Err(fail(&mut self.failed, read_error(error).unwrap_or_else(PullError::Write)));
            }
        };
        match self.to.write_all(&buffer[..n]) {
            Ok(()) => Ok(n),
            Err(error) => Err(fail(&mut self.failed, PullError::Write(error))),
        }
    }
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> Result<(), PullError> {
    io::copy(from, to).map(drop).map_err(|error| read_error(error).unwrap_or_else(PullError::Write))
}

/// The registry's error inside an I/O error, or the I/O error itself.
fn read_error(error: io::Error) -> Result<PullError, io::Error> {
    error.downcast::<RegistryError>().map(PullError::Registry)
}
