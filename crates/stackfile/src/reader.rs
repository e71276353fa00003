//! The one way this crate reaches files: through a reader that the caller supplies.

use crate::syntax::remote::Remote;
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

/// Why something that is elsewhere was not had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchError {
    /// What happened; the name is put before it.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
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

    /// The content of a regular file, links followed, that is no larger than `most` bytes; none where something else is, and
    /// where it can't be read.
    fn small_file(&self, _path: &Path, _most: u64) -> Option<Vec<u8>> {
        None
    }

    /// Brings a stack file that is elsewhere to this machine, with all that is beside it, and says where it is now. The
    /// same name gives the same answer for as long as one load takes.
    ///
    /// # Errors
    /// When it can't be had; a reader of local files alone has none.
    fn fetch(&self, _remote: &Remote) -> Result<PathBuf, FetchError> {
        let message = "files in Git and OCI repositories can't be read here".to_owned();
        Err(FetchError { message, help: Some("fetch it first, and name the file here".to_owned()) })
    }
}

/// Files in memory, for tests and editors.
#[derive(Clone, Debug, Default)]
pub struct MemoryReader {
    files: std::collections::BTreeMap<PathBuf, Vec<u8>>,
    elsewhere: Vec<(Remote, PathBuf)>,
}

impl MemoryReader {
    /// Adds a file.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }

    /// Says where something of elsewhere is.
    #[must_use]
    pub fn with_remote(mut self, remote: Remote, path: impl Into<PathBuf>) -> Self {
        self.elsewhere.push((remote, path.into()));
        self
    }
}

impl FileReader for MemoryReader {
    fn small_file(&self, path: &Path, most: u64) -> Option<Vec<u8>> {
        self.files.get(path).filter(|content| content.len() as u64 <= most).cloned()
    }

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

    fn fetch(&self, remote: &Remote) -> Result<PathBuf, FetchError> {
        let found = self.elsewhere.iter().find(|(known, _)| known == remote);
        let message = || FetchError { message: "there is no such thing".to_owned(), help: None };
        found.map(|(_, path)| path.clone()).ok_or_else(message)
    }
}
