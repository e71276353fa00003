//! A directory of the root that several operations in a row work in: looked up once.

use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, IntoRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::io::Errno;

use super::within::{self, Leaf};

const NONE: RawFd = -1;

/// A directory of the root. It is opened by the first operation that works in it; it is made when it is missing.
///
/// For operations that follow each other with no mount in between: one at the directory itself would not be seen.
#[derive(Debug)]
pub(crate) struct Folder {
    path: CString,
    /// Once it is open. Each child has a copy of its own, and never closes it: the descriptor is closed with all
    /// others, by [`super::CloseDescriptors`].
    opened: AtomicI32,
}

impl Folder {
    pub(crate) fn new(path: CString) -> Arc<Self> {
        Arc::new(Self { path, opened: AtomicI32::new(NONE) })
    }

    pub(crate) fn path(&self) -> &CStr {
        &self.path
    }

    pub(super) fn open(&self, root: BorrowedFd<'_>) -> Result<BorrowedFd<'_>, Errno> {
        let mut opened = self.opened.load(Ordering::Relaxed);
        if opened == NONE {
            opened = within::create(root, &self.path, Leaf::Directory)?.into_raw_fd();
            self.opened.store(opened, Ordering::Relaxed);
        }
        // SAFETY: the descriptor was given up to `opened`, and nothing closes it while operations still work here.
        Ok(unsafe { BorrowedFd::borrow_raw(opened) })
    }
}
