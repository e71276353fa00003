//! Room for what never gets a place in the store: cleared away like a session, which it is to others.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{Store, StoreError};

/// A directory below `tmp/` that goes when this is dropped, or with its process.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _alive: File,
}

impl Store {
    pub(crate) fn scratch(&self) -> Result<Scratch, StoreError> {
        let (path, alive) = self.session_directory()?;
        Ok(Scratch { path, _alive: alive })
    }
}

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next `open`.
        let _ = fs::remove_dir_all(&self.path);
    }
}
