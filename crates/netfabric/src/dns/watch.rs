//! The zone file, followed: read at start and whenever it is replaced.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::file_identity::FileIdentity;
use super::zone::{Table, ZoneError};

/// The zone of the moment.
///
/// What `stat` says decides whether the file is another one; inotify only wakes a server nobody asks,
/// so that a new zone is read (and a broken one reported) before the next question, not on it. So
/// neither a lost event nor a host that is out of inotify instances can leave an old zone in force.
#[derive(Debug)]
pub(super) struct ZoneFile {
    path: PathBuf,
    inotify: Option<OwnedFd>,
    /// What was there at the last look; `None` before the first one.
    seen: Option<Option<FileIdentity>>,
    table: Option<Table>,
}

impl ZoneFile {
    pub(super) fn new(path: PathBuf) -> Self {
        let inotify = watch_directory(&path).ok();
        Self { path, inotify, seen: None, table: None }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// Readable when something happened in the zone's directory.
    pub(super) fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Forgets what woke us.
    pub(super) fn drain(&self) {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        if let Some(fd) = &self.inotify {
            let mut events = inotify::Reader::new(fd, &mut buffer);
            while events.next().is_ok() {}
        }
    }

    /// Reads the file if it is another one than before. `None`: it is the same. A file that can't be
    /// used leaves the zone as it was, and is not read again until it is replaced.
    pub(super) fn refresh(&mut self) -> Option<Result<u64, ZoneError>> {
        let found = FileIdentity::of(&self.path);
        if self.seen == Some(found) {
            return None;
        }
        self.seen = Some(found);
        let read = Table::read(&self.path);
        Some(read.map(|table| self.table.insert(table).zone().generation))
    }
}

fn watch_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    inotify::add_watch(&inotify, directory, WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE)?;
    Ok(inotify)
}

#[cfg(test)]
mod tests;
