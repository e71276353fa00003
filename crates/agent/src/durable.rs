//! JSON documents that survive a kill at any instant: written beside, then renamed over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hoist_keeper::set_aside;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::reserve::is_full;

/// A document that could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    /// It could not be written.
    #[error("can't write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It could not be read.
    #[error("can't read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It isn't what it should be.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl DocumentError {
    /// Whether there was no room to write it.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Write { source, .. } if is_full(source))
    }
}

/// Replaces the document at `path`. When this returns it is on the disk; readers see the old or the new one whole.
///
/// # Errors
/// When it can't be written; the old one then stands.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), DocumentError> {
    let fail = |source| DocumentError::Write { path: path.to_owned(), source };
    let json = serde_json::to_vec(value).map_err(io::Error::from).map_err(fail)?;
    let beside = path.with_extension("new");
    let put = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(&json)?;
        file.sync_data()?;
        fs::rename(&beside, path)?;
        sync_folder(path)
    };
    put().map_err(|source| {
        // On a full disk half a document would take the room that the next try needs.
        let _ = fs::remove_file(&beside);
        fail(source)
    })
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Reads the document at `path`, if there is one.
///
/// # Errors
/// When it is there but can't be read.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DocumentError> {
    let json = match fs::read(path) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(DocumentError::Read { path: path.to_owned(), source }),
    };
    let value = serde_json::from_slice(&json);
    value.map(Some).map_err(|source| DocumentError::Damaged { path: path.to_owned(), source })
}

/// Reads the document at `path`; one that is damaged is set aside, and counts as none.
///
/// # Errors
/// When it is there but can't be read, or can't be moved.
pub(crate) fn read_sound<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DocumentError> {
    match read(path) {
        Err(error @ DocumentError::Damaged { .. }) => {
            let aside =
                set_aside(path).map_err(|source| DocumentError::Read { path: path.to_owned(), source })?;
            tracing::error!("{}; it is set aside as {}", crate::chain::chain(&error), aside.display());
            Ok(None)
        }
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_document_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        assert_eq!(read::<u32>(&path).unwrap(), None);
        write(&path, &1_u32).unwrap();
        fs::write(dir.path().join("a.new"), "half").unwrap();
        assert_eq!(read::<u32>(&path).unwrap(), Some(1));
        write(&path, &2_u32).unwrap();
        assert_eq!(read::<u32>(&path).unwrap(), Some(2));
        fs::write(&path, "{").unwrap();
        assert!(matches!(read::<u32>(&path), Err(DocumentError::Damaged { .. })));
    }

    #[test]
    fn a_damaged_document_is_kept_beside_under_a_name_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        for damage in ["", "{", "\0\0\0"] {
            fs::write(&path, damage).unwrap();
            assert_eq!(read_sound::<u32>(&path).unwrap(), None);
            assert!(!path.exists());
        }
        let kept = hoist_keeper::set_asides(dir.path());
        let names: Vec<_> = kept.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.json.damaged-1", "a.json.damaged-2", "a.json.damaged-3"]);
        assert_eq!(fs::read(&kept[1]).unwrap(), b"{");
    }
}
