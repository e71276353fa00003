//! Why an entry of a layer can't be extracted.

use std::io;

use rustix::io::Errno;

use super::format::TarError;

/// Why an entry could not be, or must not be, extracted.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    #[error("{path:?} is refused: {reason}")]
    Refused { path: String, reason: &'static str },
    #[error("{path:?}: {action} failed")]
    Io { path: String, action: &'static str, source: io::Error },
    #[error(transparent)]
    Tar(#[from] TarError),
}

/// An [`ExtractError`] before it knows its path.
#[derive(Debug)]
pub(crate) enum Fault {
    Refused(&'static str),
    Io(&'static str, Errno),
    Tar(TarError),
}

impl From<TarError> for Fault {
    fn from(error: TarError) -> Self {
        Self::Tar(error)
    }
}

impl Fault {
    pub(crate) fn at(self, path: &[u8]) -> ExtractError {
        let path = String::from_utf8_lossy(path).into_owned();
        match self {
            Self::Refused(reason) => ExtractError::Refused { path, reason },
            Self::Io(action, errno) => ExtractError::Io { path, action, source: errno.into() },
            Self::Tar(error) => ExtractError::Tar(error),
        }
    }
}
