//! Descriptors handed to a process as it starts: its standard input is a socket that they come through.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// More than any process of ours is handed.
const MOST: usize = 16;

/// A socket to be a new process's standard input, with `descriptors` waiting in it (unix(7), SCM_RIGHTS).
///
/// # Errors
/// When the kernel has no room, or there are more than 16.
pub fn pack(descriptors: &[BorrowedFd<'_>]) -> io::Result<OwnedFd> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // What is in a socket's queue stays there when the other end is closed.
    sendmsg(&ours, &[IoSlice::new(b"fds")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(theirs)
}

/// Takes out of `socket` what [`pack`] put in.
///
/// # Errors
/// When it is no such socket.
pub fn unpack(socket: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 8];
    recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    Ok(descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out() {
        let file = tempfile::tempfile().unwrap();
        let socket = pack(&[file.as_fd(), file.as_fd()]).unwrap();
        let out = unpack(&socket).unwrap();
        assert_eq!(out.len(), 2);
        assert_eq!(rustix::fs::fstat(&out[0]).unwrap().st_ino, rustix::fs::fstat(&file).unwrap().st_ino);
    }
}
