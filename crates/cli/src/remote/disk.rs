//! The file system, as `stackfile` asks for it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use hoist_stackfile::{FileKind, FileReader};

use super::served;

/// The file system, as this user sees it.
pub(crate) struct Disk;

impl FileReader for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        super::read(path)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        let asked = answered(path, |path| {
            let meta = std::fs::metadata(path).ok()?;
            Some(if meta.is_dir() { FileKind::Folder } else { FileKind::File })
        });
        // It is there, whatever it is: to say that it is missing would mislead.
        asked.unwrap_or(Some(FileKind::Folder))
    }

    fn small_file(&self, path: &Path, most: u64) -> Option<Vec<u8>> {
        if served::leads_there(path) {
            return None;
        }
        answered(path, move |path| {
            // A pipe would be waited for, a device may never end.
            let meta = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
            (meta.len() <= most).then(|| std::fs::read(path).ok()).flatten()
        })
        .flatten()
    }

    fn link_target(&self, path: &Path) -> Option<PathBuf> {
        answered(path, |path| {
            std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_symlink)?;
            std::fs::canonicalize(path).ok()
        })
        .flatten()
    }
}

/// How long a file system may take to say what is there.
const ANSWER: Duration = Duration::from_secs(1);

/// Paths that had no answer: nobody waits for them again.
static SILENT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The answer to a question about a path; none where its file system doesn't answer, as when a server is away. Paths of
/// services that the command isn't about are asked for too, and must not hold it up.
fn answered<T: Send + 'static>(path: &Path, ask: impl FnOnce(&Path) -> T + Send + 'static) -> Option<T> {
    let mut silent = SILENT.lock().unwrap_or_else(PoisonError::into_inner);
    if silent.contains(path) {
        return None;
    }
    let (told, answer) = mpsc::channel();
    let asked = path.to_owned();
    // One that hangs ends with the process.
    std::thread::Builder::new().spawn(move || told.send(ask(&asked))).ok()?;
    let answered = answer.recv_timeout(ANSWER).ok();
    if answered.is_none() {
        silent.insert(path.to_owned());
    }
    answered
}
