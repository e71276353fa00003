//! What is created in the root: directories, device nodes, symbolic links.

use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Uid, chownat, fstat, makedev, mknodat, statat, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::mount::{attach, itself};
use super::within::{self, Leaf};
use super::{Child, Failure, Folder, Step};

/// Makes a directory, parents included, when it is missing.
#[derive(Debug)]
pub struct Directory {
    pub(crate) path: CString,
}

impl Step for Directory {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        Ok(within::create(child.root()?, &self.path, Leaf::Directory).map(drop)?)
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "make directory {}", self.path.to_string_lossy())
    }
}

/// Makes a device node, or binds the host's where nodes can't be made.
#[derive(Debug)]
pub struct Device {
    pub(crate) folder: Arc<Folder>,
    pub(crate) name: CString,
    /// Folder and name: the host's path of the same device.
    pub(crate) path: CString,
    pub(crate) kind: FileType,
    pub(crate) rdev: Rdev,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A device's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rdev {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl Step for Device {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let root = child.root()?;
        let parent = self.folder.open(root)?;
        let rdev = makedev(self.rdev.major, self.rdev.minor);
        let mode = Mode::from_raw_mode(self.mode);
        match mknodat(parent, self.name.as_c_str(), self.kind, mode, rdev) {
            Ok(()) => self.own(parent),
            Err(Errno::EXIST) => self.accept(parent, rdev),
            Err(Errno::PERM) => self.bind(root),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Device {
    fn own(&self, parent: BorrowedFd<'_>) -> Result<(), Failure> {
        if (self.uid, self.gid) == (0, 0) {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        Ok(chownat(parent, self.name.as_c_str(), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The same device may be in the image already; something else under its name is an error.
    fn accept(&self, parent: BorrowedFd<'_>, rdev: u64) -> Result<(), Failure> {
        let found = statat(parent, self.name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)?;
        let same = FileType::from_raw_mode(found.st_mode) == self.kind
            && (found.st_rdev == rdev || self.kind == FileType::Fifo);
        if same { Ok(()) } else { Err(Errno::EXIST.into()) }
    }

    fn bind(&self, root: BorrowedFd<'_>) -> Result<(), Failure> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(CWD, self.path.as_c_str(), flags)?;
        // Under another name than the host's, it would be another device.
        let found = fstat(&tree)?;
        let rdev = makedev(self.rdev.major, self.rdev.minor);
        if FileType::from_raw_mode(found.st_mode) != self.kind || found.st_rdev != rdev {
            return Err(Errno::PERM.into());
        }
        let target = within::create(root, &self.path, Leaf::File)?;
        attach(tree.as_fd(), itself(&target))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FileType::BlockDevice => 'b',
            FileType::Fifo => 'p',
            _ => 'c',
        };
        let Rdev { major, minor } = self.rdev;
        write!(f, "make device {} {kind} {major}:{minor} {:04o}", self.path.to_string_lossy(), self.mode)?;
        if (self.uid, self.gid) == (0, 0) { Ok(()) } else { write!(f, " for {}:{}", self.uid, self.gid) }
    }
}

/// Makes a symbolic link; one that exists is left alone.
#[derive(Debug)]
pub struct Symlink {
    pub(crate) folder: Arc<Folder>,
    pub(crate) name: CString,
    pub(crate) target: CString,
}

impl Step for Symlink {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let parent = self.folder.open(child.root()?)?;
        match symlinkat(self.target.as_c_str(), parent, self.name.as_c_str()) {
            Err(Errno::EXIST) => Ok(()),
            result => Ok(result?),
        }
    }
}

impl fmt::Display for Symlink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |part: &CStr| part.to_string_lossy().into_owned();
        write!(f, "link {}/{} to {}", text(self.folder.path()), text(&self.name), text(&self.target))
    }
}
