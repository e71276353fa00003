//! Mounts: new file systems and binds, by the mount API of Linux 5.2 and 5.12.
//!
//! A mount is made detached, given all its attributes, and attached last: at no moment is it visible
//! without them. It is attached to a descriptor, not to a path (see [`super::within`]).

use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, fchmod, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::failure::Message;
use super::folder::Folder;
use super::place::Place;
use super::tree::Tree;
use super::within::{self, Leaf};
use super::{Child, Failure, Note, Step};
use crate::sys::{MountAttr, Recursion, mount_setattr, mount_setattr_attached};

/// Mounts something in the root; a missing target is created.
#[derive(Debug)]
pub struct Mount {
    pub(crate) source: Source,
    pub(crate) target: Target,
    /// Changes the mount itself.
    pub(crate) attr: MountAttr,
    /// Changes the mount and, for a recursive bind, all below it.
    pub(crate) attr_below: MountAttr,
    /// Type, source and options, for people.
    pub(crate) label: String,
}

/// Where a mount goes.
#[derive(Debug)]
pub(crate) enum Target {
    /// A path of the root, and what may turn out to be there.
    Path(CString, Place),
    /// A new directory of this name, in a folder that only we have had a hand in.
    New(Arc<Folder>, CString),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path, _) => f.write_str(&path.to_string_lossy()),
            Self::New(folder, name) => {
                write!(f, "{}/{}", folder.path().to_string_lossy(), name.to_string_lossy())
            }
        }
    }
}

/// Where a mount comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A directory or file of the host, cloned by [`super::CloneTree`].
    Bind(Arc<Tree>),
    /// A new instance of a file system.
    New { fstype: CString, parameters: Vec<Parameter>, mode_of_target: bool },
    /// A file system that was made before the clone, detached.
    Made(OwnedFd),
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
        match &self.source {
            Source::Bind(tree) => self.attach(child, tree.take()?.as_fd(), &self.attr),
            Source::New { fstype, parameters, mode_of_target } => {
                // A mode can be given only to what can still be written.
                let at_once = if *mode_of_target { 0 } else { self.attr.set & FROM_THE_START };
                let tree = new_tree(fstype, parameters, at_once)?;
                let rest = if *mode_of_target { self.attr } else { self.attr.without(FROM_THE_START) };
                self.attach(child, tree.as_fd(), &rest)
            }
            Source::Made(tree) => self.attach(child, tree.as_fd(), &self.attr),
        }
    }
}

impl Mount {
    /// Attaches the tree with what is still to be changed of its attributes.
    fn attach(&self, child: &Child<'_>, tree: BorrowedFd<'_>, attr: &MountAttr) -> Result<(), Failure> {
        let (path, place) = match &self.target {
            Target::Path(path, place) => (path, place),
            Target::New(folder, name) => {
                let folder = folder.open(child.root()?)?;
                mkdirat(folder, name.as_c_str(), Mode::from_raw_mode(0o755))?;
                return attach_with(tree, (folder, name), &self.attr_below, attr);
            }
        };
        let target = place.open(child.root()?, path, tree)?;
        if let Source::New { mode_of_target: true, .. } = self.source {
            copy_mode(target.as_fd(), tree)?;
        }
        let attached = attach_with(tree, itself(&target), &self.attr_below, attr);
        // The kernel has no error of its own for it.
        attached.map_err(|failure| match (within::kind(tree), within::kind(&target)) {
            (Ok(one), Ok(other)) if (one == FileType::Directory) != (other == FileType::Directory) => {
                Failure::noted(Errno::NOTDIR, Note::KindMismatch)
            }
            _ => failure,
        })
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

/// Attributes that every kernel with this interface can give a new file system.
const FROM_THE_START: u64 = libc::MOUNT_ATTR_RDONLY
    | libc::MOUNT_ATTR_NOSUID
    | libc::MOUNT_ATTR_NODEV
    | libc::MOUNT_ATTR_NOEXEC
    | libc::MOUNT_ATTR__ATIME
    | libc::MOUNT_ATTR_NODIRATIME;

/// A detached mount of a new file system that has these attributes, `MOUNT_ATTR_…`, from the start.
pub(crate) fn new_tree(fstype: &CStr, parameters: &[Parameter], attr: u64) -> Result<OwnedFd, Failure> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC)?;
    configure(context.as_fd(), parameters)
        .map_err(|errno| Failure { message: said(context.as_fd()), ..Failure::from(errno) })?;
    Ok(fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(attr as u32))?)
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

/// Where a tree is attached: a directory and a name in it, or an empty name for what the descriptor refers to.
type Spot<'a> = (BorrowedFd<'a>, &'a CStr);

/// What a descriptor itself refers to.
pub(super) fn itself(target: &OwnedFd) -> Spot<'_> {
    (target.as_fd(), c"")
}

/// Gives a detached tree its attributes, first those for all of it, and attaches it. Without mount_setattr(2) only
/// what is attached can be changed; nobody sees it then, for the program doesn't run yet.
pub(super) fn attach_with(
    tree: BorrowedFd<'_>,
    spot: Spot<'_>,
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
            attach(tree, spot)?;
            Ok(set(mount_setattr_attached)?)
        }
        result => {
            result?;
            attach(tree, spot)
        }
    }
}

/// Attaches a detached tree; a link of the name is not followed.
pub(super) fn attach(tree: BorrowedFd<'_>, (target, name): Spot<'_>) -> Result<(), Failure> {
    let mut by_descriptor = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    by_descriptor.set(MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH, name.is_empty());
    Ok(move_mount(tree, c"", target, name, by_descriptor)?)
}

/// Mounts the terminal as `/dev/console`.
///
/// It is cloned from its *descriptor*: no path of a pseudo terminal is ever looked up inside the container, where it
/// could be replaced (CVE-2025-52565).
#[derive(Debug)]
pub struct MountConsole {
    pub(crate) console: Console,
}

/// The terminal to be cloned. open_tree(2) clones only what is mounted in the caller's namespace.
#[derive(Debug)]
pub(crate) enum Console {
    /// One of the host's: cloned before the child left the host's namespace.
    Cloned(OwnedFd),
    /// One of the container's own file system of terminals, which has been attached in the child by now.
    Own(OwnedFd),
}

impl Console {
    pub(crate) fn clone_of(terminal: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
        let itself = OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::OPEN_TREE_CLONE;
        open_tree(terminal, c"", itself | OpenTreeFlags::OPEN_TREE_CLOEXEC)
    }
}

impl Step for MountConsole {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let target = within::create(child.root()?, c"/dev/console", Leaf::File)?;
        match &self.console {
            Console::Cloned(tree) => attach(tree.as_fd(), itself(&target)),
            Console::Own(terminal) => attach(Console::clone_of(terminal.as_fd())?.as_fd(), itself(&target)),
        }
    }
}

impl fmt::Display for MountConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bind the terminal at /dev/console")
    }
}
