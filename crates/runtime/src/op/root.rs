//! Changing the root: from the host's mount table to the container's.

use std::fmt;
use std::os::fd::AsFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use rustix::process::{fchdir, pivot_root};

use super::{Child, Failure, Step};
use crate::sys::{MountAttr, Recursion, mount_setattr_attached};

/// Cuts the copied mount table off from the host's: nothing mounted here shows there, while what the host
/// unmounts goes away here as well (a copy that stayed would keep the host's disks busy).
#[derive(Debug)]
pub struct IsolateMounts;

impl Step for IsolateMounts {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        let root = openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let slave = MountAttr { propagation: libc::MS_SLAVE, ..MountAttr::default() };
        Ok(mount_setattr_attached(root.as_fd(), Recursion::All, &slave)?)
    }
}

impl fmt::Display for IsolateMounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keep mounts from reaching the host")
    }
}

/// Attaches the root file system: over the old root, the one directory that is there on every host.
#[derive(Debug)]
pub struct AttachRoot;

impl Step for AttachRoot {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let root = child.root()?;
        move_mount(root, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        let private = MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() };
        Ok(mount_setattr_attached(root, Recursion::All, &private)?)
    }
}

impl fmt::Display for AttachRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("attach the root file system")
    }
}

/// Makes the attached root the root, and lets go of the host's mount table.
///
/// `pivot_root(".", ".")` stacks the old root on the new one, so no directory for it is needed in the
/// image, and unmounting "." then removes it (pivot_root(2), NOTES). A chroot would leave it reachable.
#[derive(Debug)]
pub struct PivotRoot;

impl Step for PivotRoot {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        fchdir(child.root()?)?;
        pivot_root(c".", c".")?;
        unmount(c".", UnmountFlags::DETACH)?;
        Ok(rustix::process::chdir(c"/")?)
    }
}

impl fmt::Display for PivotRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pivot into the root file system")
    }
}
