//! The runtime's own binary, out of reach of the containers it starts.
//!
//! A container can make the runtime execute itself inside: its program may be a script that begins with
//! `#!/proc/self/exe`. That process belongs to the container, and behind its `/proc/PID/exe` is the host's
//! binary, which root of the container can then open for writing (CVE-2019-5736). So whoever launches
//! containers should itself run from a file that can't be written through.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, StatVfsMountFlags, fstatvfs, statvfs};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::sys::{MountAttr, Recursion, mount_setattr};

/// The binary of the calling process.
const OWN: &std::ffi::CStr = c"/proc/self/exe";

/// The calling process's binary behind a read-only mount of its own that is attached nowhere. To be
/// executed with execveat(2) and AT_EMPTY_PATH: `/proc/PID/exe` then leads there, and a write through it
/// fails. The caller must be in the mount namespace it was executed in. Nobody can make it writable again without CAP_SYS_ADMIN over the host. It takes no memory, which
/// a sealed copy would.
///
/// # Errors
///
/// Without `CAP_SYS_ADMIN`, or when the binary has been deleted.
pub fn own_binary() -> Result<OwnedFd, Errno> {
    let tree = open_tree(CWD, OWN, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    let read_only = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    mount_setattr(tree.as_fd(), Recursion::One, &read_only)?;
    debug_assert!(fstatvfs(&tree).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY)));
    Ok(tree)
}

/// Whether the calling process already runs from a binary that can't be written through.
pub fn is_sealed() -> bool {
    statvfs(OWN).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
}
