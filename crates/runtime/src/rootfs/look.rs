//! Looking into a root file system that is attached nowhere, as if it were `/`.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;

use super::RootfsError;
use crate::op::within;

/// Opens a path of the root, symbolic links and ".." taken from the root: nothing outside is reached.
///
/// Never blocks on a FIFO and never becomes anybody's controlling terminal, whatever the image has there.
///
/// # Errors
///
/// What openat2(2) says.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, RootfsError> {
    locate(root, path, flags).map_err(|source| RootfsError::Read { path: path.to_owned(), source })
}

pub(crate) fn locate(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let harmless = if flags.contains(OFlags::PATH) {
        OFlags::CLOEXEC
    } else {
        OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
    };
    within::resolve(root, path, flags | harmless, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens a path below a directory that others may write to. A link, or "..", that leads out of it is an error.
///
/// # Errors
///
/// What openat2(2) says: `EXDEV` or `ELOOP` for what leads out.
pub fn open_beneath(directory: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    within::resolve(directory, path, flags, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
}

/// Reads a regular file of the root, `None` if it is not there.
///
/// # Errors
///
/// When it can't be read, is no regular file, or is larger than `limit` bytes: it is the image's, so its
/// size is not to be trusted.
pub fn read(root: BorrowedFd<'_>, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, RootfsError> {
    let failed = |source| RootfsError::Read { path: path.to_owned(), source };
    let file = match locate(root, path, OFlags::RDONLY) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        opened => File::from(opened.map_err(failed)?),
    };
    let mode = rustix::fs::fstat(file.as_fd()).map_err(failed)?.st_mode;
    if rustix::fs::FileType::from_raw_mode(mode) != rustix::fs::FileType::RegularFile {
        return Err(failed(Errno::INVAL));
    }
    let mut content = Vec::new();
    let copied = file.take(limit + 1).read_to_end(&mut content);
    copied.map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    if content.len() as u64 > limit {
        return Err(RootfsError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(Some(content))
}
