//! What loading and importing come to: an image, or why there is none.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::layer::TarError;
use crate::manifest::ManifestError;
use crate::platform::Platform;
use crate::reference::{Reference, ReferenceError};
use crate::store::{BlobError, LayerError, RegisterError, StoreError};

/// Why an archive or layout was not loaded. Images that came before the fault stay loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error("reading the archive failed")]
    Read(#[source] io::Error),
    #[error("writing to the store failed")]
    Spool(#[source] io::Error),
    #[error("it is not a tar archive that can be read")]
    Tar(#[from] TarError),
    #[error("it is not an image archive: it has neither manifest.json nor index.json")]
    NotAnImage,
    #[error(
        "it was saved by Docker before version 1.10, which is not supported; load and save it with a newer one"
    )]
    TooOld,
    #[error("{name} is not valid")]
    Json { name: String, source: serde_json::Error },
    #[error("{0} is missing")]
    Missing(String),
    #[error("{0} is damaged: its content is not what its name says")]
    Damaged(String),
    #[error("manifest {digest} can't be used")]
    Manifest { digest: Digest, source: ManifestError },
    #[error("it has no image for {wanted}, only for {}", .found.join(", "))]
    Platform { wanted: Platform, found: Vec<String> },
    #[error("it has no image named {wanted:?}, only {}", .found.join(", "))]
    NoSuchName { wanted: String, found: Vec<String> },
    #[error("it has several images, so one must be named: {}", .0.join(", "))]
    SeveralImages(Vec<String>),
    #[error("it names an image wrongly")]
    Name(#[source] ReferenceError),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("its indexes are nested too deeply")]
    Nested,
    #[error("opening {path} failed")]
    Open { path: PathBuf, source: io::Error },
}

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub id: Digest,
    /// The names it has from now on; none if the archive gave none.
    pub references: Vec<Reference>,
}

/// A `--change` that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(
        "{0:?} is not an instruction of CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR"
    )]
    Unknown(String),
    #[error("{0:?} has no value")]
    Empty(String),
    #[error("{0:?} is not NAME=VALUE")]
    Pair(String),
}
