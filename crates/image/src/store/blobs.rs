//! Blobs: bytes under the name of their digest.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::session::Session;
use super::{Lock, Store, StoreError};
use crate::digest::{Digest, Hashed};
use crate::layer::Compression;

/// Longest manifest, index or configuration that is read into memory.
const LONGEST_DOCUMENT: u64 = 8 << 20;

/// Why a blob could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("blob {0} is not in the store")]
    Missing(Digest),
    #[error("the content has digest {found}, not {wanted}")]
    Digest { wanted: Digest, found: Digest },
    #[error("the document is {0} bytes long, at most {LONGEST_DOCUMENT} are allowed")]
    TooLong(u64),
}

/// Writes what will be a blob into the session.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    file: Hashed<File>,
    path: PathBuf,
}

/// Bytes in the session, hashed, not in place yet.
#[derive(Clone, Debug)]
pub(crate) struct Spooled {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) path: PathBuf,
}

impl Store {
    /// Opens a blob for reading.
    pub fn blob(&self, digest: Digest) -> Result<File, BlobError> {
        let path = self.blob_path(digest);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BlobError::Missing(digest)),
            other => Ok(other.map_err(StoreError::io("opening", &path))?),
        }
    }

    /// Reads a whole manifest, index or configuration, and checks its digest.
    pub fn document(&self, digest: Digest) -> Result<Vec<u8>, BlobError> {
        let bytes = read_document(self.blob(digest)?, &self.blob_path(digest))?;
        match Digest::of(&bytes) {
            found if found == digest => Ok(bytes),
            found => Err(BlobError::Digest { wanted: digest, found }),
        }
    }

    /// Whether the blob's content has its digest.
    pub(super) fn blob_is_whole(&self, digest: Digest) -> bool {
        let Ok(file) = self.blob(digest) else { return false };
        let mut hashed = Hashed::new(io::BufReader::with_capacity(256 << 10, file));
        io::copy(&mut hashed, &mut io::sink()).is_ok() && hashed.finish().0 == digest
    }
}

fn read_document(file: File, path: &std::path::Path) -> Result<Vec<u8>, BlobError> {
    let mut bytes = Vec::new();
    file.take(LONGEST_DOCUMENT + 1).read_to_end(&mut bytes).map_err(StoreError::io("reading", path))?;
    match bytes.len() as u64 {
        length if length > LONGEST_DOCUMENT => Err(BlobError::TooLong(length)),
        _ => Ok(bytes),
    }
}

impl Session<'_> {
    pub(crate) fn blob_writer(&self) -> Result<BlobWriter, StoreError> {
        let path = self.fresh();
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        let file = options.open(&path).map_err(StoreError::io("making", &path))?;
        Ok(BlobWriter { file: Hashed::new(file), path })
    }

    /// Whether the blob is in the store; it stays there while the session lives.
    pub(crate) fn has_blob(&self, digest: Digest) -> Result<bool, StoreError> {
        let _lock = self.store.lock(Lock::Shared)?;
        if !self.store.blob_path(digest).exists() {
            return Ok(false);
        }
        self.pin(digest).map(|()| true)
    }

    /// Puts a spooled blob in place, unless it is there already.
    pub(crate) fn keep(&self, spooled: &Spooled) -> Result<(), StoreError> {
        let _lock = self.store.lock(Lock::Shared)?;
        let place = self.store.blob_path(spooled.digest);
        if place.exists() {
            return self.pin(spooled.digest);
        }
        self.put(spooled.digest, &spooled.path, &place)
    }

    /// How a blob in the store is compressed.
    pub(crate) fn blob_compression(&self, digest: Digest) -> Result<Compression, BlobError> {
        let mut start = Vec::new();
        let read = self.store.blob(digest)?.take(6).read_to_end(&mut start);
        read.map_err(StoreError::io("reading", &self.store.blob_path(digest)))?;
        Ok(Compression::of(&start))
    }

    /// Keeps a document.
    pub(crate) fn keep_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let mut writer = self.blob_writer()?;
        let written = writer.write_all(bytes);
        let spooled = writer.finish();
        written.map_err(StoreError::io("writing", &spooled.path))?;
        self.keep(&spooled)?;
        Ok(spooled.digest)
    }
}

impl BlobWriter {
    pub(crate) fn finish(self) -> Spooled {
        let (digest, size, _) = self.file.finish();
        Spooled { digest, size, path: self.path }
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Spooled {
    /// Reads it as a document.
    pub(crate) fn document(&self) -> Result<Vec<u8>, BlobError> {
        read_document(File::open(&self.path).map_err(StoreError::io("opening", &self.path))?, &self.path)
    }
}
