//! Why a build failed.

use std::error::Error;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::digest::Digest;
use crate::layer::{ExtractError, PackError, TarError};
use crate::store::{BlobError, LayerError, RegisterError, StoreError};

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("line {line}: {title}")]
    Step {
        title: String,
        line: usize,
        #[source]
        source: Box<StepError>,
    },
    #[error("the build was cancelled")]
    Cancelled,
    #[error("layer {0} can't be fetched from an imported cache")]
    Lost(Digest),
    #[error("{0}")]
    Cache(String),
    #[error("image {0} is not in the store any more")]
    Base(Digest),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the image can't be registered")]
    Register(#[from] RegisterError),
    #[error("the image can't be written down")]
    Blob(#[from] BlobError),
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the step's layer can't be kept")]
    Layer(#[from] LayerError),
    #[error("the step's layer can't be read")]
    Blob(#[from] BlobError),
    #[error("the step's layer can't be packed")]
    Pack(#[from] PackError),
    #[error("the archive can't be unpacked")]
    Archive(#[from] TarError),
    #[error("the archive can't be unpacked")]
    Extract(#[from] ExtractError),
    #[error("the base can't be read")]
    Base(#[from] RegisterError),
    #[error("{action} {path} failed")]
    Io { action: &'static str, path: String, source: io::Error },
    #[error("{0}")]
    Refused(String),
    #[error("{url} can't be fetched")]
    Fetch { url: String, source: Box<dyn Error + Send + Sync> },
    #[error("the command can't be run")]
    Run(#[source] Box<dyn Error + Send + Sync>),
    #[error("the command ended with status {0}")]
    Status(i32),
    #[error("the command was ended by signal {0}")]
    Signal(i32),
    #[error("the build was cancelled")]
    Cancelled,
    #[error("layer {0} can't be fetched from an imported cache")]
    Lost(Digest),
}

impl StepError {
    pub(in crate::builder) fn io<'p>(
        action: &'static str,
        path: &'p Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'p> {
        move |source| Self::Io { action, path: path.display().to_string(), source }
    }

    pub(in crate::builder) fn errno<'p>(
        action: &'static str,
        path: &'p Path,
    ) -> impl FnOnce(Errno) -> Self + use<'p> {
        move |errno| Self::io(action, path)(errno.into())
    }
}
