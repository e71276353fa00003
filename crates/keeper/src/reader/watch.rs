//! Tells when a log may have grown.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

/// Becomes readable when something in a log folder was written or made. For one reader.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
}

impl Watch {
    /// Watches `dir`, which must exist. Start the watch before reading, or a line may be missed.
    ///
    /// # Errors
    ///
    /// When the user's limit of inotify instances or watches is reached; then look from time to time.
    pub fn new(dir: &Path) -> io::Result<Watch> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&inotify, dir, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::ONLYDIR)?;
        Ok(Watch { inotify })
    }

    /// Takes note of all that happened so far, before reading the log.
    ///
    /// # Errors
    ///
    /// None that is expected.
    pub fn clear(&self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        loop {
            match inotify::Reader::new(&self.inotify, &mut buffer).next() {
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
