//! mount_setattr(2), Linux 5.12.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::{checked, mount_old};

/// `struct mount_attr`: what changes on a mount. The fields are the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct MountAttr {
    /// `MOUNT_ATTR_…` to set.
    pub(crate) set: u64,
    /// `MOUNT_ATTR_…` to clear, before `set`.
    pub(crate) clear: u64,
    /// One of `MS_PRIVATE`, `MS_SLAVE`, …, or 0.
    pub(crate) propagation: u64,
    /// Only with `MOUNT_ATTR_IDMAP`.
    pub(crate) userns_fd: u64,
}

impl MountAttr {
    /// What is left to be changed where these are as they should be.
    pub(crate) fn without(self, done: u64) -> Self {
        Self { set: self.set & !done, clear: self.clear & !done, ..self }
    }
}

/// Whether the mounts below are changed as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recursion {
    One,
    All,
}

/// As [`mount_setattr`], for a mount that is attached: on a kernel without that call by others.
pub(crate) fn mount_setattr_attached(
    fd: BorrowedFd<'_>,
    recursion: Recursion,
    attr: &MountAttr,
) -> Result<(), Errno> {
    match mount_setattr(fd, recursion, attr) {
        Err(Errno::NOSYS) => mount_old::set_attr(fd, recursion, attr),
        result => result,
    }
}

/// Changes the mount that `fd` is the root of.
pub(crate) fn mount_setattr(fd: BorrowedFd<'_>, recursion: Recursion, attr: &MountAttr) -> Result<(), Errno> {
    let recursive = if recursion == Recursion::All { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, attr a valid struct of the size given.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    checked(returned).map(drop)
}
