//! Files on the real disk, links included.

use hoist_stackfile::{FileKind, FileReader};
use std::io;
use std::path::{Path, PathBuf};

pub(crate) struct Disk;

impl FileReader for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(if metadata.is_dir() { FileKind::Folder } else { FileKind::File })
    }

    fn link_target(&self, path: &Path) -> Option<PathBuf> {
        std::fs::symlink_metadata(path).ok()?.file_type().is_symlink().then(|| path.canonicalize().ok())?
    }
}
