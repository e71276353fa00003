//! Reading all datagrams that a netlink socket has ready in one system call.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::socket::{MsgFlags, MultiHeaders, NetlinkAddr, recvmmsg};

/// Datagrams per system call.
pub(crate) const SLOTS: usize = 16;
/// The kernel cuts listings to what the reader has room for, but not below this (`NLMSG_GOODSIZE`); other answers are
/// smaller.
const SLOT: usize = 8 << 10;

thread_local! {
    /// Room for [`SLOTS`] datagrams, shared by all sockets that the thread reads.
    static ROOM: RefCell<Room> = RefCell::new(Room::new());
}

struct Room {
    headers: MultiHeaders<NetlinkAddr>,
    bytes: Vec<u8>,
}

impl Room {
    fn new() -> Self {
        Self { headers: MultiHeaders::preallocate(SLOTS, None), bytes: vec![0; SLOTS * SLOT] }
    }
}

/// Hands what is there to `take`, at most [`SLOTS`] datagrams, and tells how many there were; doesn't wait.
///
/// # Errors
/// `WouldBlock`: there is nothing. `ENOBUFS`: the kernel had more to say than the socket had room for.
pub(crate) fn receive(socket: BorrowedFd<'_>, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
    ROOM.with_borrow_mut(|Room { headers, bytes }| {
        let mut slots: Vec<[IoSliceMut<'_>; 1]> =
            bytes.chunks_exact_mut(SLOT).map(|slot| [IoSliceMut::new(slot)]).collect();
        let received = recvmmsg(socket.as_raw_fd(), headers, slots.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let mut lengths = [0; SLOTS];
        let mut count = 0;
        for datagram in received {
            if datagram.flags.contains(MsgFlags::MSG_TRUNC) {
                let error = "an answer larger than any the kernel gives";
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            lengths[count] = datagram.bytes;
            count += 1;
        }
        let datagrams = bytes.chunks_exact(SLOT).zip(&lengths[..count]);
        datagrams.for_each(|(slot, length)| take(&slot[..*length]));
        Ok(count)
    })
}
