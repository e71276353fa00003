//! Noticing that a file became another one, by what `stat` says: cheap enough to do before an answer.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Which file is at a path, and in which state. A file replaced by rename always differs: both exist
/// at once, so they can't share an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl FileIdentity {
    /// None when there is nothing to look at; symbolic links are followed.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}
