//! One message, one packet: bytes and descriptors.
//!
//! The first byte of a packet says where the message is: behind it, or in a sealed memory file that is the
//! first descriptor, as packets have a limit and messages don't.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// What fits into a packet beside its first byte.
const INLINE_BYTES: usize = 32 << 10;
/// No message is longer: whoever sends more is broken.
const LONGEST: u64 = 16 << 20;
/// As many descriptors as the kernel lets a message have (SCM_MAX_FD).
const MOST_FDS: usize = 253;

const INLINE: u8 = 0;
const IN_FILE: u8 = 1;

/// A received message.
#[derive(Debug)]
pub struct Frame {
    pub bytes: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

/// A message ready to be sent, more than once if it must be.
#[derive(Debug)]
pub struct Packet {
    bytes: Vec<u8>,
    file: Option<OwnedFd>,
    fds: Vec<OwnedFd>,
}

impl Packet {
    /// Makes a packet. The descriptors are closed with it.
    ///
    /// # Errors
    ///
    /// When the message is too long, or needs a memory file and there is no room for one.
    pub fn new(message: &impl serde::Serialize, fds: Vec<OwnedFd>) -> io::Result<Packet> {
        let mut bytes = vec![INLINE];
        serde_json::to_writer(&mut bytes, message)?;
        if bytes.len() as u64 > LONGEST || fds.len() >= MOST_FDS {
            return Err(Errno::MSGSIZE.into());
        }
        if bytes.len() <= INLINE_BYTES {
            return Ok(Packet { bytes, file: None, fds });
        }
        let file = seal(&bytes[1..])?;
        Ok(Packet { bytes: vec![IN_FILE], file: Some(file), fds })
    }

    /// Sends it. On a socket that doesn't block, `WouldBlock` means that nothing was sent.
    ///
    /// # Errors
    ///
    /// What sendmsg(2) says; a peer that has gone is `BrokenPipe`, never a signal.
    pub fn send(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let fds: Vec<BorrowedFd<'_>> = self.file.iter().chain(&self.fds).map(AsFd::as_fd).collect();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Errno::MSGSIZE.into());
        }
        loop {
            match sendmsg(socket, &[IoSlice::new(&self.bytes)], &mut control, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                sent => return Ok(sent.map(drop)?),
            }
        }
    }
}

/// Receives a message; `None` when the peer has closed the connection.
///
/// # Errors
///
/// What recvmsg(2) says, and `InvalidData` for what is no message: the connection is then of no more use.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Frame>> {
    let mut bytes = vec![0; INLINE_BYTES];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            received => break received?,
        }
    };
    let mut fds: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            fds.extend(more);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(invalid("a message was cut off"));
    }
    bytes.truncate(received.bytes);
    match bytes.first() {
        None => Ok(None),
        Some(&INLINE) => {
            bytes.remove(0);
            Ok(Some(Frame { bytes, fds }))
        }
        Some(&IN_FILE) if !fds.is_empty() => {
            let bytes = read_sealed(fds.remove(0))?;
            Ok(Some(Frame { bytes, fds }))
        }
        Some(_) => Err(invalid("a message of no known kind")),
    }
}

const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

fn seal(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = File::from(memfd_create(c"message", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all_at(bytes, 0)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// Sealed, as otherwise a peer could change or cut what is being read.
fn read_sealed(file: OwnedFd) -> io::Result<Vec<u8>> {
    let is_sealed = fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SEALS));
    let length = fstat(&file)?.st_size.cast_unsigned();
    if !is_sealed || length > LONGEST {
        return Err(invalid("a message in a file that is not sealed or too long"));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| invalid("a message too long"))?];
    File::from(file).read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn messages_of_every_size_arrive_with_their_descriptors() {
        let (ours, theirs) = pair();
        for size in [0, 1, INLINE_BYTES - 3, INLINE_BYTES - 2, 1 << 20] {
            let text = "x".repeat(size);
            let fds = vec![File::open("/dev/null").unwrap().into(), File::open("/dev/zero").unwrap().into()];
            Packet::new(&text, fds).unwrap().send(ours.as_fd()).unwrap();
            let frame = receive(theirs.as_fd()).unwrap().unwrap();
            assert_eq!(serde_json::from_slice::<String>(&frame.bytes).unwrap(), text);
            let mut byte = [1];
            assert_eq!(frame.fds.len(), 2);
            assert_eq!(rustix::io::read(&frame.fds[1], &mut byte), Ok(1));
        }
        drop(ours);
        assert!(receive(theirs.as_fd()).unwrap().is_none());
    }

    #[test]
    fn a_file_that_could_still_change_is_refused() {
        let (ours, theirs) = pair();
        let file = memfd_create(c"open", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        Packet { bytes: vec![IN_FILE], file: Some(file), fds: Vec::new() }.send(ours.as_fd()).unwrap();
        assert_eq!(receive(theirs.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        for bytes in [&[7_u8, 7][..], &[IN_FILE]] {
            rustix::net::send(&ours, bytes, SendFlags::empty()).unwrap();
            assert_eq!(receive(theirs.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_peer_that_has_gone_is_an_error_and_no_signal() {
        let (ours, theirs) = pair();
        drop(theirs);
        let sent = Packet::new(&"x", Vec::new()).unwrap().send(ours.as_fd());
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
