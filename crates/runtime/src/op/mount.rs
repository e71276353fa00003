//! Mounts: new file systems and binds, by the mount API of Linux 5.2 and 5.12.
//!
//! A mount is made detached, given all its attributes, and attached last: at no moment is it visible
//! without them. It is attached to a descriptor, not to a path (see [`super::within`]).

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, fchmod, fstat, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::failure::Message;
use super::place::Place;
use super::tree::Tree;
use super::within::{self, Leaf};
use super::{Child, Failure, Step};
use crate::sys::{MountAttr, Recursion, mount_setattr, mount_setattr_attached};

/// Mounts something in the root; a missing target is created.
#[derive(Debug)]
pub struct Mount {
    pub(crate) source: Source,
    /// A path of the root.
    pub(crate) target: CString,
    /// What the target may turn out to be.
    pub(crate) place: Place,
    /// Changes the mount itself.
    pub(crate) attr: MountAttr,
    /// Changes the mount and, for a recursive bind, all below it.
    pub(crate) attr_below: MountAttr,
    /// Type, source and options, for people.
    pub(crate) label: String,
}

/// Where a mount comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A directory or file of the host, cloned by [`super::CloneTree`].
    Bind(Arc<Tree>),
    /// A new instance of a file system.
    New { fstype: CString, parameters: Vec<Parameter>, mode_of_target: bool },
}

/// One parameter of a new file system.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) key: CString,
    /// None for a flag.
    pub(crate) value: Option<CString>,
}

impl Step for Mount {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let tree = match &self.source {
            Source::Bind(tree) => tree.take()?,
            Source::New { fstype, parameters, .. } => new_tree(fstype, parameters)?,
        };
        let is_directory = within::kind(&tree)? == FileType::Directory;
        let leaf = if is_directory { Leaf::Directory } else { Leaf::File };
        let target = self.place.open(child.root()?, &self.target, leaf, tree.as_fd())?;
        if let Source::New { mode_of_target: true, .. } = self.source {
            copy_mode(target.as_fd(), tree.as_fd())?;
        }
        attach_with(tree.as_fd(), target.as_fd(), &self.attr_below, &self.attr)
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

/// A detached mount of a new file system.
pub(super) fn new_tree(fstype: &std::ffi::CStr, parameters: &[Parameter]) -> Result<OwnedFd, Failure> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
    configure(context.as_fd(), parameters)
        .map_err(|errno| Failure { message: said(context.as_fd()), ..Failure::from(errno) })?;
    Ok(fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

fn configure(context: BorrowedFd<'_>, parameters: &[Parameter]) -> Result<(), Errno> {
    for Parameter { key, value } in parameters {
        match value {
            Some(value) => fsconfig_set_string(context, key.as_c_str(), value.as_c_str())?,
            None => fsconfig_set_flag(context, key.as_c_str())?,
        }
    }
    fsconfig_create(context)
}

/// The file system's complaint: reading its context gives one line, led by "e " for an error.
fn said(context: BorrowedFd<'_>) -> Message {
    let mut line = [0_u8; Message::ROOM];
    let length = rustix::io::read(context, &mut line).unwrap_or(0);
    let line = line.get(..length).unwrap_or_default();
    Message::new(line.strip_prefix(b"e ").unwrap_or(line).trim_ascii_end())
}

/// Gives the root of a new tmpfs the mode of the directory it hides: `/tmp` stays 1777.
fn copy_mode(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(fstat(from)?.st_mode);
    let readable = openat(to, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    fchmod(readable, mode)
}

/// A change of mounts: [`mount_setattr`] or what stands in for it.
type Change = fn(BorrowedFd<'_>, Recursion, &MountAttr) -> Result<(), Errno>;

/// Gives a detached tree its attributes, first those for all of it, and attaches it. Without mount_setattr(2) only
/// what is attached can be changed; nobody sees it then, for the program doesn't run yet.
pub(super) fn attach_with(
    tree: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    below: &MountAttr,
    own: &MountAttr,
) -> Result<(), Failure> {
    let set = |change: Change| {
        let changes = [(Recursion::All, below), (Recursion::One, own)];
        let wanted = changes.into_iter().filter(|(_, attr)| **attr != MountAttr::default());
        wanted.into_iter().try_for_each(|(recursion, attr)| change(tree, recursion, attr))
    };
    match set(mount_setattr) {
        Err(Errno::NOSYS) => {
            attach(tree, target)?;
            Ok(set(mount_setattr_attached)?)
        }
        result => {
            result?;
            attach(tree, target)
        }
    }
}

/// Attaches a detached tree to what a descriptor refers to.
pub(super) fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Failure> {
    let by_descriptor = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree, c"", target, c"", by_descriptor)?)
}

/// Mounts the terminal as `/dev/console`.
///
/// The terminal was cloned into a detached mount from its *descriptor*, before the clone: no path of a
/// pseudo terminal is ever looked up inside the container, where it could be replaced (CVE-2025-52565).
#[derive(Debug)]
pub struct MountConsole {
    pub(crate) tree: OwnedFd,
}

impl Step for MountConsole {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let target = within::create(child.root()?, c"/dev/console", Leaf::File)?;
        attach(self.tree.as_fd(), target.as_fd())
    }
}

impl fmt::Display for MountConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bind the terminal at /dev/console")
    }
}
