//! Addresses of Unix sockets, of any length.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::net::SocketAddrUnix;

/// What `sun_path` takes (unix(7)), with its closing zero.
const LONGEST: usize = 108;

/// A socket's address. A long path is shortened by way of its folder, which stays open as long as this.
pub(crate) struct Address {
    pub(crate) socket: SocketAddrUnix,
    _folder: Option<OwnedFd>,
}

pub(crate) fn address(path: &Path) -> io::Result<Address> {
    if path.as_os_str().len() < LONGEST {
        return Ok(Address { socket: SocketAddrUnix::new(path)?, _folder: None });
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok(Address { socket: SocketAddrUnix::new(short)?, _folder: Some(folder) })
}
