//! Taking away: masked paths, read-only paths, attributes of mounts, the read-only root.

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, major, minor, openat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::mount::{attach, attach_with, itself, new_tree};
use super::{Child, Failure, Folder, Step, within};
use crate::sys::{MountAttr, Recursion, mount_setattr_attached};

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

/// What all masks of a container hide their paths below: made for the first one that needs it.
///
/// The null device is the host's and is checked to be one: one found inside the root could have been
/// replaced by a link to what the container wants to have mounted (CVE-2025-31133).
#[derive(Debug)]
pub(crate) struct Cover {
    /// The host's null device, and an empty file system that is mounted read-only. Each child has copies of its own,
    /// and never closes them: they are closed with all others, by [`super::CloseDescriptors`].
    null: AtomicI32,
    empty: AtomicI32,
}

const NONE: RawFd = -1;

impl Cover {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { null: AtomicI32::new(NONE), empty: AtomicI32::new(NONE) })
    }

    /// A mount of the null device.
    fn null(&self) -> Result<OwnedFd, Failure> {
        let known = self.null.load(Ordering::Relaxed);
        if known != NONE {
            return clone_known(known);
        }
        let null = openat(CWD, c"/dev/null", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fstat(&null)?;
        let is_null = (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3);
        if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || !is_null {
            return Err(Errno::NODEV.into());
        }
        let known = null.into_raw_fd();
        self.null.store(known, Ordering::Relaxed);
        clone_known(known)
    }

    /// Covers a directory. Only what is attached can be cloned, so the first one is kept where it is attached.
    fn cover(&self, target: &OwnedFd) -> Result<(), Failure> {
        let known = self.empty.load(Ordering::Relaxed);
        if known != NONE {
            return attach(clone_known(known)?.as_fd(), itself(target));
        }
        let flags = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
        let empty = new_tree(c"tmpfs", &[], flags)?;
        attach(empty.as_fd(), itself(target))?;
        self.empty.store(empty.into_raw_fd(), Ordering::Relaxed);
        Ok(())
    }
}

/// One more mount of what a descriptor refers to.
fn clone_known(known: RawFd) -> Result<OwnedFd, Failure> {
    // SAFETY: `Cover` holds only descriptors that were given up to it, and nothing closes them before the last mask.
    let known = unsafe { BorrowedFd::borrow_raw(known) };
    Ok(open_tree(known, c"", CLONE | OpenTreeFlags::AT_EMPTY_PATH)?)
}

/// Hides a path: a directory below an empty read-only one, a file below `/dev/null`. A path that is not
/// there needs no hiding.
#[derive(Debug)]
pub struct Mask {
    pub(crate) path: CString,
    pub(crate) cover: Arc<Cover>,
}

impl Step for Mask {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let target = match within::locate(child.root()?, &self.path) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            found => found?,
        };
        match within::kind(&target)? {
            FileType::Directory => self.cover.cover(&target),
            _ => attach(self.cover.null()?.as_fd(), itself(&target)),
        }
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mask {}", self.path.to_string_lossy())
    }
}

/// Makes a path, and all mounts below it, read-only. A path that is not there needs it not.
#[derive(Debug)]
pub struct ReadOnlyPath {
    pub(crate) path: CString,
}

impl Step for ReadOnlyPath {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let target = match within::locate(child.root()?, &self.path) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            found => found?,
        };
        let whole = CLONE | OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(&target, c"", whole)?;
        let read_only = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
        attach_with(tree.as_fd(), itself(&target), &read_only, &MountAttr::default())
    }
}

impl fmt::Display for ReadOnlyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "make {} read-only", self.path.to_string_lossy())
    }
}

/// Changes all mounts at and below a folder that was filled with mounts: what they can't be given one by one for less.
#[derive(Debug)]
pub struct MountAttributes {
    pub(crate) folder: Arc<Folder>,
    pub(crate) attr: MountAttr,
    /// The changes, for people.
    pub(crate) words: String,
}

impl Step for MountAttributes {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let folder = self.folder.open(child.root()?)?;
        Ok(mount_setattr_attached(folder, Recursion::All, &self.attr)?)
    }
}

impl fmt::Display for MountAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "make all mounts at {} {}", self.folder.path().to_string_lossy(), self.words)
    }
}

/// Makes the root file system read-only; mounts on it stay as they are.
#[derive(Debug)]
pub struct ReadOnlyRoot;

impl Step for ReadOnlyRoot {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let read_only = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
        Ok(mount_setattr_attached(child.root()?, Recursion::One, &read_only)?)
    }
}

impl fmt::Display for ReadOnlyRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("make the root file system read-only")
    }
}
