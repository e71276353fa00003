//! Caches that builds elsewhere left, and that this build leaves for others: records of steps, and the layers that they
//! name.
//!
//! A cache is an image manifest of its own kind, or the image itself. Its records are claims: whoever may write a cache
//! decides what comes of the steps that it answers for. Digests say only that nothing was changed on the way.

mod document;
mod export;
mod folder;
mod import;

use std::fs::File;
use std::io::{self, Read};

pub(crate) use document::{CACHE_CONFIG, CacheDocument, Entry, LARGEST, add_records, choose};
pub(super) use export::Packing;
pub use folder::{FolderCache, Shelf};
pub(super) use import::Imports;

use crate::digest::Digest;
use crate::layer::Compression;
use crate::manifest::{Descriptor, ManifestError};
use crate::registry::RegistryError;
use crate::store::{BlobError, LayerError, StoreError};

/// Takes the content of a blob.
pub type TakeBlob<'a> = dyn FnMut(&mut dyn Read) -> Result<(), CacheError> + 'a;

/// Where a cache is read from. Nothing of it is trusted: digests and sizes are checked here.
pub trait CacheSource: Send + Sync {
    /// As messages call it.
    fn name(&self) -> String;

    /// The manifest, and what it has as its configuration.
    fn documents(&self) -> Result<(Vec<u8>, Vec<u8>), CacheError>;

    /// Hands the content of a blob to `take`.
    fn blob(&self, blob: &Descriptor, take: &mut TakeBlob<'_>) -> Result<(), CacheError>;
}

/// Where a cache is written to.
pub trait CacheTarget: Send + Sync {
    /// As messages call it.
    fn name(&self) -> String;

    /// Whether it has the blob already.
    fn has(&self, blob: &Descriptor) -> Result<bool, CacheError>;

    /// Writes a blob.
    fn blob(&self, blob: &Descriptor, content: &File) -> Result<(), CacheError>;

    /// Makes what was written the cache.
    fn finish(&self, manifest: &[u8]) -> Result<(), CacheError>;
}

/// A cache that is to be written.
pub struct Export {
    pub target: Box<dyn CacheTarget>,
    /// Layers of all steps, not only of those that the image has.
    pub all: bool,
    pub compression: Compression,
    /// Without it there is no image either.
    pub required: bool,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { target, all, compression, required } = self;
        let mut shown = f.debug_struct("Export");
        shown.field("target", &target.name()).field("all", all);
        shown.field("compression", compression).field("required", required).finish()
    }
}

/// What a build takes from others, and leaves for them.
#[derive(Default)]
pub struct Caches {
    /// Asked in this order, once a step is in none of this host's own records.
    pub from: Vec<Box<dyn CacheSource>>,
    pub to: Vec<Export>,
    /// The image carries the records of its own steps.
    pub inline: bool,
}

impl std::fmt::Debug for Caches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let from: Vec<String> = self.from.iter().map(|source| source.name()).collect();
        f.debug_struct("Caches")
            .field("from", &from)
            .field("to", &self.to)
            .field("inline", &self.inline)
            .finish()
    }
}

/// Why a cache can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error("it does not exist")]
    Absent,
    #[error("it is {0}, not a cache of Hoist's builds")]
    Foreign(String),
    #[error("the image has no records of its steps: build it with `cache_to: type=inline`")]
    NoRecords,
    #[error("its manifest can't be used")]
    Manifest(#[from] ManifestError),
    #[error("its records can't be read")]
    Records(#[source] serde_json::Error),
    #[error("it has {layers} layers and names {named}")]
    Layers { layers: usize, named: usize },
    #[error("{0} is longer than a cache's documents may be")]
    TooLong(String),
    #[error("blob {0} is missing")]
    Missing(Digest),
    #[error("what it has as {wanted} has the digest {found}")]
    Digest { wanted: Digest, found: Digest },
    #[error("compressing layer {layer} failed")]
    Compress { layer: Digest, source: io::Error },
    #[error("{0} failed")]
    Io(&'static str, #[source] io::Error),
}
