//! The socket others connect to.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, chmodat};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use crate::address::address;

const BACKLOG: i32 = 64;

/// Makes the socket, in place of one that a killed keeper left. The lock says that there is no other.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let address = address(&new)?;
    bind(&socket, &address.socket)?;
    chmodat(CWD, &new, Mode::from_raw_mode(0o600), AtFlags::empty())?;
    listen(&socket, BACKLOG)?;
    // Under its name there is always a socket that is listened to, or was until a kill.
    fs::rename(new, path)?;
    Ok(socket)
}
