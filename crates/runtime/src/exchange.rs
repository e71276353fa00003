//! Mounts another file in the place of one that a running container has mounted.
//!
//! mount_namespaces(7), move_mount(2). From Linux 6.5 on the new file goes beneath the old one, which is then taken off: at
//! each moment one of them is there. Before that it goes on top, and the old one stays below it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces};

use crate::sys::{MountAttr, Recursion, mount_setattr};

/// A file can't be mounted in another's place.
#[derive(Debug, thiserror::Error)]
#[error("can't put {source_path} in the place of {target} in the container")]
pub struct ExchangeError {
    source_path: String,
    target: String,
    #[source]
    source: Errno,
}

/// Mounts the file at `source` (of this mount namespace) where the container of process `pid` has `target` mounted. Of the
/// options count `ro`, `nosuid`, `nodev` and `noexec`.
///
/// # Errors
/// As the kernel says; the old file is then still there.
pub fn file(pid: i32, source: &Path, target: &Path, options: &[&str]) -> Result<(), ExchangeError> {
    let fail = |errno| ExchangeError {
        source_path: source.display().to_string(),
        target: target.display().to_string(),
        source: errno,
    };
    let tree = detached(source, options).map_err(fail)?;
    let process = Pid::from_raw(pid).ok_or(Errno::SRCH).map_err(fail)?;
    let process = pidfd_open(process, PidfdFlags::empty()).map_err(fail)?;
    let within = target.to_owned();
    // A thread of its own: it leaves this mount namespace and never comes back.
    let entered = thread::Builder::new().spawn(move || attach(&process, &tree, &within));
    let attached = entered.map_err(|_| fail(Errno::AGAIN))?.join();
    attached.unwrap_or(Err(Errno::IO)).map_err(fail)
}

/// The file as a mount that is nowhere yet.
fn detached(source: &Path, options: &[&str]) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, source, flags)?;
    let set = options.iter().fold(0, |set, option| set | attribute(option));
    let attr = MountAttr { set, propagation: libc::MS_PRIVATE, ..MountAttr::default() };
    mount_setattr(tree.as_fd(), Recursion::One, &attr)?;
    Ok(tree)
}

/// The attribute that an option of mount(8) stands for; 0 for one that takes nothing away.
fn attribute(option: &str) -> u64 {
    match option {
        "ro" => libc::MOUNT_ATTR_RDONLY,
        "nosuid" => libc::MOUNT_ATTR_NOSUID,
        "nodev" => libc::MOUNT_ATTR_NODEV,
        "noexec" => libc::MOUNT_ATTR_NOEXEC,
        _ => 0,
    }
}

fn attach(process: &OwnedFd, tree: &OwnedFd, target: &Path) -> Result<(), Errno> {
    // SAFETY: only what this thread looks paths up from is separated; it has no file descriptors of its own to lose.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?;
    move_into_thread_name_spaces(process.as_fd(), ThreadNameSpaceType::MOUNT)?;
    let by_fd = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    match move_mount(tree, "", CWD, target, by_fd | MoveMountFlags::MOVE_MOUNT_BENEATH) {
        Ok(()) => unmount(target, UnmountFlags::DETACH),
        Err(Errno::INVAL) => move_mount(tree, "", CWD, target, by_fd),
        Err(errno) => Err(errno),
    }
}
