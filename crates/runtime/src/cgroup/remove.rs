//! Removal of a group's directories.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::CgroupError;

/// Processes that were killed leave their groups a moment later than they die. Together about 60 ms: the
/// caller is not held up for longer, and tries again when it next has a reason to.
const PAUSES_MS: [u64; 6] = [1, 2, 4, 8, 16, 32];

/// Removes the directories and all below them; what is not there is no error.
pub(super) fn remove_trees(dirs: &[PathBuf]) -> Result<(), CgroupError> {
    let mut pauses = PAUSES_MS.into_iter().map(Duration::from_millis);
    loop {
        let mut busy = None;
        for dir in dirs {
            match remove_tree(dir) {
                Ok(()) => {}
                Err(source) if source.kind() == ErrorKind::ResourceBusy => busy = Some(dir),
                Err(source) => {
                    return Err(CgroupError::File { action: "remove", file: dir.clone(), source });
                }
            }
        }
        let Some(dir) = busy else { return Ok(()) };
        match pauses.next() {
            Some(pause) => thread::sleep(pause),
            None => {
                let pids = super::group::pids_below(dir)?.into_iter().collect();
                return Err(CgroupError::InUse { dir: dir.clone(), pids });
            }
        }
    }
}

/// Children first. The files in a group's directory are not entries to remove; rmdir takes them along.
fn remove_tree(dir: &Path) -> io::Result<()> {
    for child in children(dir)? {
        remove_tree(&child)?;
    }
    gone_is_fine(fs::remove_dir(dir))
}

pub(super) fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_gone(&error) => Ok(()),
        other => other,
    }
}

/// The groups directly below one; none when it is not there.
pub(super) fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut children = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            children.push(entry.path());
        }
    }
    Ok(children)
}

/// Not there, or (ENODEV) removed while its file was open.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}
