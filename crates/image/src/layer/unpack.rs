//! One layer: compressed stream in, directory out, both digests on the way.

use std::io::{self, Read};
use std::path::Path;

use super::compression::decoder;
use super::extract::{Extracted, Extractor};
use super::fault::ExtractError;
use super::format::TarError;
use super::tar::TarReader;
use crate::digest::{Digest, Hashed};

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("opening {path:?} failed")]
    Open { path: String, source: io::Error },
    #[error("reading the layer failed")]
    Read(#[source] io::Error),
    #[error("the layer can't be unpacked")]
    Extract(#[source] ExtractError),
    #[error("the layer's content has digest {found}, the image's configuration says {wanted}")]
    DiffId { wanted: Digest, found: Digest },
}

impl From<TarError> for UnpackError {
    fn from(error: TarError) -> Self {
        Self::Extract(error.into())
    }
}

/// A layer that was unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Digest of the uncompressed stream.
    pub diff_id: Digest,
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Directories that entries are in but no entry describes, so that lower layers decide their
    /// attributes; "" is the root.
    pub implied: Vec<String>,
    /// Extended attributes that the file system can't keep.
    pub lost_xattrs: Vec<String>,
}

/// Unpacks the layer `input`, plain or compressed, into the empty directory `into`. With `wanted`,
/// the digest of the uncompressed stream is checked; what was unpacked is then the caller's to remove.
pub fn unpack(input: impl Read + Send, into: &Path, wanted: Option<Digest>) -> Result<Unpacked, UnpackError> {
    let open = |source| UnpackError::Open { path: into.display().to_string(), source };
    let mut extractor = Extractor::new(into).map_err(open)?;
    let plain = decoder(input).map_err(UnpackError::Read)?;
    let mut archive = TarReader::new(Hashed::new(plain));
    while let Some(entry) = archive.next()? {
        extractor.entry(entry, &mut archive).map_err(UnpackError::Extract)?;
    }
    let (found, _, _) = archive.drain()?.finish();
    if let Some(wanted) = wanted.filter(|&wanted| wanted != found) {
        return Err(UnpackError::DiffId { wanted, found });
    }
    let Extracted { entries, bytes, implied, lost_xattrs } =
        extractor.finish().map_err(UnpackError::Extract)?;
    let implied = implied.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    Ok(Unpacked { diff_id: found, entries, bytes, implied, lost_xattrs: lost_xattrs.into_iter().collect() })
}
