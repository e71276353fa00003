//! The one way this crate reaches files: through a reader that the caller supplies.

use std::io;
use std::path::{Path, PathBuf};

/// What is at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A regular file, or something else that can be read.
    File,
    /// A folder.
    Folder,
}

/// Reads what stack files refer to. Relative paths are the caller's to interpret.
pub trait FileReader {
    /// The bytes of a file.
    ///
    /// # Errors
    /// As the file system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// What is at a path, links followed; `None` when nothing is.
    fn kind(&self, path: &Path) -> Option<FileKind>;

    /// The full target of a link; `None` when the path is no link.
    fn link_target(&self, path: &Path) -> Option<PathBuf>;
}

/// Files in memory, for tests and editors.
#[derive(Clone, Debug, Default)]
pub struct MemoryReader {
    files: std::collections::BTreeMap<PathBuf, Vec<u8>>,
}

impl MemoryReader {
    /// Adds a file.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }
}

impl FileReader for MemoryReader {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        if self.files.contains_key(path) {
            return Some(FileKind::File);
        }
        self.files.keys().any(|file| file.starts_with(path)).then_some(FileKind::Folder)
    }

    fn link_target(&self, _path: &Path) -> Option<PathBuf> {
        None
    }
}
