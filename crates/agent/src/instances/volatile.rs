//! Memory for what instances need only while the machine is up: the FIFOs of their streams and the files that are
//! mounted into them. Making and removing files is the slowest part of a start on most disks.
//!
//! A file system of its own per root, mounted in its state folder: it outlives every process of Hoist's, and is gone
//! after a boot.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::statfs;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// `TMPFS_MAGIC`, statfs(2).
const TMPFS: u64 = 0x0102_1994;

/// Makes the folder and mounts memory there, unless it is memory already.
///
/// # Errors
/// When the folder can't be made. Where nothing can be mounted, the folder itself has to do.
pub(crate) fn open(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if !is_memory(dir)
        && let Err(error) = mount("hoist", dir, c"tmpfs", MountFlags::NODEV, c"mode=0700")
    {
        tracing::warn!("{} stays on the disk, which makes starts slower: {error}", dir.display());
    }
    Ok(())
}

/// Takes it away, once nothing of any instance runs.
pub(crate) fn close(dir: &Path) {
    let above = dir.parent().unwrap_or(dir);
    if is_memory(dir) && !is_memory(above) {
        let _ = unmount(dir, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
    let _ = fs::remove_dir(dir);
}

fn is_memory(dir: &Path) -> bool {
    statfs(dir).is_ok_and(|found| found.f_type as u64 == TMPFS)
}
