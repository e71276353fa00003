//! The root file system as a detached mount, and a safe look into it.
//!
//! A detached mount is in nobody's mount table: it needs no directory, shows nowhere, is passed on as a
//! descriptor, and is gone with the last one, whatever is killed when.

mod look;
mod overlay;
pub mod view;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

pub(crate) use look::locate;
pub use look::{open, open_beneath, read};
use view::View;

/// What a root file system is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rootfs {
    /// Read-only layers below a private writable one.
    Layers(Layers),
    /// A directory as it is, with what is mounted below it; writes go into it.
    Directory(PathBuf),
    /// Parts of a directory below a private writable layer.
    View(View),
}

/// The parts of an overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The read-only layers, the topmost first. May be `/` itself; mounts below a layer are not part of it.
    pub lower: Vec<PathBuf>,
    /// Where writes go.
    pub upper: PathBuf,
    /// An empty directory on the file system of `upper`, for overlayfs's own use.
    pub work: PathBuf,
}

/// Why a root file system could not be assembled or read.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// No layers were given.
    #[error("a root file system needs at least one layer")]
    NoLayers,
    /// A layer or directory can't be opened.
    #[error("can't open {path}")]
    Open {
        /// The one that can't.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// The kernel refused the overlay.
    #[error("can't mount an overlay of {layers} layers{said}")]
    Overlay {
        /// How many layers below the writable one.
        layers: usize,
        /// The kernel's own words after ": ", or nothing.
        said: String,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// A mount namespace to make the mounts in can't be had, or refuses them.
    #[error("can't make mounts apart from the host's")]
    Namespace(#[source] Errno),
    /// A part of a directory can't be shown or hidden.
    #[error("can't show or hide {path}")]
    View {
        /// The part, on the host.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// No throw-away thread to make mounts in.
    #[error("can't start a thread")]
    Thread(#[source] std::io::Error),
    /// A file of the root can't be read.
    #[error("can't read {path} of the root file system")]
    Read {
        /// As seen from the root.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
    /// A file of the root is larger than the caller is ready to read.
    #[error("{path} of the root file system is larger than {limit} bytes")]
    TooLarge {
        /// As seen from the root.
        path: PathBuf,
        /// What was allowed.
        limit: u64,
    },
}

/// Assembles a root file system without attaching it anywhere: when the last descriptor is closed, it is
/// gone. The descriptor can be looked into at once ([`open`]) and passed to another process.
///
/// # Errors
///
/// When a part is missing or the kernel refuses the mount.
pub fn assemble(rootfs: &Rootfs) -> Result<OwnedFd, RootfsError> {
    match rootfs {
        Rootfs::Layers(layers) => overlay::mount_layers(layers),
        Rootfs::View(view) => view::mount_view(view),
        Rootfs::Directory(path) => {
            let all = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE;
            open_tree(CWD, path, all | OpenTreeFlags::OPEN_TREE_CLOEXEC)
                .map_err(|source| RootfsError::Open { path: path.clone(), source })
        }
    }
}
