//! The root file system as a detached mount, and a safe look into it.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::io::Errno;

/// What a root file system is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rootfs {
    /// Read-only layers below a private writable one.
    Layers(Layers),
    /// A directory as it is, writes included.
    Directory(PathBuf),
}

/// The parts of an overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The read-only layers, the topmost first. May be `/` itself.
    pub lower: Vec<PathBuf>,
    /// Where writes go.
    pub upper: PathBuf,
    /// An empty directory on the file system of `upper`, for overlayfs's own use.
    pub work: PathBuf,
}

/// Why a root file system could not be assembled or read.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// The kernel refused the mount.
    #[error("can't mount the root file system")]
    Mount(#[source] Errno),
}

/// Assembles a root file system without attaching it anywhere: when the last descriptor is closed, it is
/// gone. The descriptor can be looked into at once ([`open`]) and passed to another process.
///
/// # Errors
///
/// When a part is missing or the kernel refuses the mount.
pub fn assemble(rootfs: &Rootfs) -> Result<OwnedFd, RootfsError> {
    let _ = rootfs;
    Err(RootfsError::Mount(Errno::NOSYS))
}
