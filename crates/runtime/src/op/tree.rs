//! The sources of binds: cloned while paths still lead through the host's tree.

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::{Child, Failure, Note, Step, within};

const NONE: RawFd = -1;

/// What a bind shows: a directory or file of the host, and its clone once there is one.
#[derive(Debug)]
pub(crate) struct Tree {
    /// A path of the host.
    path: CString,
    /// A path below it that others than the host's root may have had a hand in: no link in it leads out.
    beneath: Option<CString>,
    /// Whether mounts below the source come along.
    recursive: bool,
    /// The clone, between [`CloneTree`] and the mount. Each child has a copy of its own.
    clone: AtomicI32,
}

impl Tree {
    pub(crate) fn new(path: CString, beneath: Option<CString>, recursive: bool) -> Arc<Self> {
        Arc::new(Self { path, beneath, recursive, clone: AtomicI32::new(NONE) })
    }

    /// Hands out the clone; it is there once.
    pub(super) fn take(&self) -> Result<OwnedFd, Errno> {
        match self.clone.swap(NONE, Ordering::Relaxed) {
            NONE => Err(Errno::BADF),
            // SAFETY: `keep` stored a descriptor that nobody else owns, and the swap gives it out once.
            clone => Ok(unsafe { OwnedFd::from_raw_fd(clone) }),
        }
    }

    fn keep(&self, clone: OwnedFd) {
        self.clone.store(clone.into_raw_fd(), Ordering::Relaxed);
    }

    fn make(&self) -> Result<OwnedFd, Failure> {
        let below = if self.recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
        let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | below;
        let Some(beneath) = &self.beneath else { return Ok(open_tree(CWD, self.path.as_c_str(), clone)?) };
        let base = openat(CWD, self.path.as_c_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let place = self.open_beneath(base.as_fd(), beneath)?;
        Ok(open_tree(place, c"", clone | OpenTreeFlags::AT_EMPTY_PATH)?)
    }

    fn open_beneath(&self, base: BorrowedFd<'_>, path: &CString) -> Result<OwnedFd, Failure> {
        within::beneath(base, path).map_err(|errno| match errno {
            Errno::XDEV | Errno::LOOP => Failure::noted(errno, Note::LeadsOut),
            errno => errno.into(),
        })
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.recursive { "all of " } else { "" };
        write!(f, "{all}{}", self.path.to_string_lossy())?;
        self.beneath.iter().try_for_each(|path| write!(f, " at {} below it", path.to_string_lossy()))
    }
}

/// Clones the source of a bind into a detached tree.
///
/// Before the new root is attached: from then on "/" has it on top, and a clone of the host's root would show
/// the container its own. Before the mount table is cut off from the host's too: a clone made afterwards could
/// not be shared with the host, where that is asked for.
#[derive(Debug)]
pub struct CloneTree {
    pub(crate) tree: Arc<Tree>,
    /// Where it will be mounted, for people.
    pub(crate) target: String,
}

impl Step for CloneTree {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        self.tree.keep(self.tree.make()?);
        Ok(())
    }
}

impl fmt::Display for CloneTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clone {} for {}", self.tree, self.target)
    }
}
