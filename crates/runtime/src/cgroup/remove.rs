//! Removal of a group's directories.

use std::ffi::CStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, unlinkat};

use super::walk::{Visitor, is_gone, walk};
use super::{CgroupError, INNER};

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

/// The files in a group's directory are not entries to remove; rmdir takes them along.
fn remove_tree(dir: &Path) -> io::Result<()> {
    // As mostly: a container's own group and nothing below that.
    let _ = fs::remove_dir(dir.join(INNER));
    match gone_is_fine(fs::remove_dir(dir)) {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
        removed => return removed,
    }
    walk(dir, &mut Removal)?;
    gone_is_fine(fs::remove_dir(dir))
}

/// Takes those below first. One with processes stays, and so do those above it.
struct Removal;

impl Visitor for Removal {
    fn find(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
        match gone_is_fine(unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(io::Error::from)) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(true),
            removed => removed.map(|()| false),
        }
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        self.find(parent, name).map(drop)
    }
}

pub(super) fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_gone(&error) => Ok(()),
        other => other,
    }
}
