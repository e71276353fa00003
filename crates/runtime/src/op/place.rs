//! What a mount may lie on.
//!
//! A mount over `/proc` or `/sys` takes from the program, and from the kernel's own safety checks inside the
//! container, what they believe to be the kernel's word (CVE-2019-16884, CVE-2019-19921). Where such a mount is
//! allowed is decided by its written target; that no link of the image leads another one there is seen here.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, StatxFlags, fstat, fstatfs, statx};
use rustix::io::Errno;

use super::within::{self, Leaf};
use super::{Failure, Note};

/// statfs(2).
const PROC: u64 = 0x9fa0;
const SYSFS: u64 = 0x6265_6572;
/// The inode of the root of either.
const ROOT_INODE: u64 = 1;

/// What the target of a mount may turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Anything but the root itself; and nothing of `/proc` or `/sys` that is reached over a link.
    Anywhere,
    /// As written, without a link on the way: an image that redirects `/proc` or `/sys` would leave its own
    /// files where the program looks for the kernel's.
    Plain,
    /// `/proc` itself, for a whole procfs only.
    Proc,
    /// `/sys` itself, for a whole sysfs only.
    Sys,
    /// Below `/sys`, as it is written.
    BelowSys,
}

impl Place {
    /// Opens the target for a tree; a missing one is made.
    pub(super) fn open(
        self,
        root: BorrowedFd<'_>,
        path: &CStr,
        tree: BorrowedFd<'_>,
    ) -> Result<OwnedFd, Failure> {
        match self {
            Self::Anywhere => anywhere(root, path, tree),
            Self::BelowSys => match within::locate(root, path) {
                Err(Errno::NOENT) => Ok(within::make(root, path, leaf(tree)?)?),
                found => Ok(found?),
            },
            Self::Plain => plain(root, path, tree),
            Self::Proc if is_whole(tree, PROC)? => plain(root, path, tree),
            Self::Sys if is_whole(tree, SYSFS)? => plain(root, path, tree),
            Self::Proc | Self::Sys => Err(Failure::noted(Errno::PERM, Note::NotKernel)),
        }
    }
}

fn plain(root: BorrowedFd<'_>, path: &CStr, tree: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    match within::locate_plain(root, path) {
        Err(Errno::LOOP) => Err(Failure::noted(Errno::LOOP, Note::Symlink)),
        Err(Errno::NOENT) => Ok(within::make(root, path, leaf(tree)?)?),
        found => Ok(found?),
    }
}

fn anywhere(root: BorrowedFd<'_>, path: &CStr, tree: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let target = match within::locate_plain(root, path) {
        // Without a link it is where it is written, and that is neither `/proc` nor `/sys` nor the root.
        Ok(target) => return Ok(target),
        Err(Errno::NOENT) => within::make(root, path, leaf(tree)?)?,
        Err(_) => within::create(root, path, leaf(tree)?)?,
    };
    let magic = fstatfs(&target)?.f_type as u64;
    if magic == PROC || magic == SYSFS {
        return Err(Failure::noted(Errno::PERM, Note::Kernel));
    }
    if identity(&target)? == identity(root)? {
        return Err(Failure::noted(Errno::PERM, Note::Root));
    }
    Ok(target)
}

/// What a tree can be mounted on.
fn leaf(tree: BorrowedFd<'_>) -> Result<Leaf, Errno> {
    Ok(if within::kind(tree)? == FileType::Directory { Leaf::Directory } else { Leaf::File })
}

/// The mount and the inode of what a descriptor refers to.
fn identity(fd: impl AsFd) -> Result<(u64, u64), Errno> {
    let found = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::MNT_ID)?;
    Ok((found.stx_mnt_id, found.stx_ino))
}

/// Whether it is the root of such a file system, and not a part of one.
fn is_whole(tree: BorrowedFd<'_>, magic: u64) -> Result<bool, Errno> {
    Ok(is_on(tree, magic)? && fstat(tree)?.st_ino == ROOT_INODE)
}

fn is_on(fd: impl AsFd, magic: u64) -> Result<bool, Errno> {
    Ok(fstatfs(fd)?.f_type as u64 == magic)
}
