//! Taking away: masked paths, read-only paths, the read-only root.

use std::ffi::CString;
use std::fmt;
use std::os::fd::AsFd;

use rustix::fs::{CWD, FileType, fstat, major, minor};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::mount::{attach, attach_with, new_tree};
use super::{Child, Failure, Step, within};
use crate::sys::{MountAttr, Recursion, mount_setattr_attached};

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

/// Hides a path: a directory below an empty read-only one, a file below `/dev/null`. A path that is not
/// there needs no hiding.
///
/// The null device is the host's and is checked to be one: one found inside the root could have been
/// replaced by a link to what the container wants to have mounted (CVE-2025-31133).
#[derive(Debug)]
pub struct Mask {
    pub(crate) path: CString,
}

impl Step for Mask {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let target = match within::locate(child.root()?, &self.path) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            found => found?,
        };
        let none = MountAttr::default();
        if within::kind(&target)? == FileType::Directory {
            let empty = new_tree(c"tmpfs", &[])?;
            let flags = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
            let own = MountAttr { set: flags, ..none };
            return attach_with(empty.as_fd(), target.as_fd(), &none, &own);
        }
        let null = open_tree(CWD, c"/dev/null", CLONE)?;
        let stat = fstat(&null)?;
        let is_null = (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3);
        if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || !is_null {
            return Err(Errno::NODEV.into());
        }
        attach(null.as_fd(), target.as_fd())
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
        let itself = CLONE | OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(&target, c"", itself)?;
        let read_only = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
        attach_with(tree.as_fd(), target.as_fd(), &read_only, &MountAttr::default())
    }
}

impl fmt::Display for ReadOnlyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "make {} read-only", self.path.to_string_lossy())
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
