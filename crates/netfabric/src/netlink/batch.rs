//! The socket under rtnetlink's connection: what a burst of requests sends goes out in one system call, and what the
//! kernel answers is read in as few.
//!
//! The kernel works through requests while `sendto(2)` runs, so their answers are there when it returns. There is
//! nothing to wait for asynchronously, no reactor, and no other thread that would have to be woken.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::BufMut;
use netlink_packet_core::{NLM_F_DUMP_INTR, NLMSG_DONE, NetlinkBuffer};
use netlink_sys::{AsyncSocket, Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::datagrams::{SLOTS, receive};

/// Answers are there at once. This is for what can only be a fault: nobody waits for ever.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
/// The whole kernel's address.
const KERNEL: (u32, u32) = (0, 0);

/// See the module.
#[derive(Debug)]
pub(crate) struct BatchSocket {
    socket: Socket,
    /// The trait reads and writes by shared reference; only one thread ever does.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests that wait to be sent together.
    outgoing: Vec<u8>,
    /// Nothing is left to read until more is sent.
    drained: bool,
    dump: Dump,
}

/// What the headers of a listing say, which rtnetlink's streams don't pass on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dump {
    /// Something changed meanwhile: the listing may lack what was there all the time.
    pub(crate) interrupted: bool,
    /// The error number with which it ended.
    pub(crate) failed: Option<i32>,
}

impl BatchSocket {
    /// Sends all requests that wait.
    pub(super) fn send_queued(&self) -> io::Result<()> {
        let mut state = self.state();
        state.drained = false;
        state.dump = Dump::default();
        let outgoing = std::mem::take(&mut state.outgoing);
        self.socket.send_to(&outgoing, &SocketAddr::new(KERNEL.0, KERNEL.1), 0).map(drop)
    }

    /// Waits until there is something to read.
    pub(super) fn wait(&self) -> io::Result<()> {
        // SAFETY: the socket is open as long as `self` lives, which is longer than this call.
        let fd = unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) };
        match rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&PATIENCE))? {
            0 => Err(io::Error::other("the kernel gave no answer")),
            _ => {
                self.state().drained = false;
                Ok(())
            }
        }
    }

    /// What the headers said since the last sending.
    pub(super) fn dump(&self) -> Dump {
        self.state().dump
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn read<B: BufMut>(&mut self, socket: BorrowedFd<'_>, buffer: &mut B) -> io::Result<()> {
        let count = receive(socket, |datagram| {
            self.dump.note(datagram);
            buffer.put_slice(datagram);
        })?;
        // The kernel goes on with a listing while it is read, so what comes next is there already.
        self.drained = count < SLOTS;
        Ok(())
    }
}

impl Dump {
    fn note(&mut self, mut datagram: &[u8]) {
        while let Ok(message) = NetlinkBuffer::new_checked(datagram) {
            self.interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
            if message.message_type() == NLMSG_DONE {
                let code = message.payload().first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                self.failed = (code < 0).then_some(-code).or(self.failed);
            }
            let length = (message.length() as usize).next_multiple_of(4);
            datagram = datagram.get(length..).unwrap_or_default();
        }
    }
}

impl AsyncSocket for BatchSocket {
    fn socket_ref(&self) -> &Socket {
        &self.socket
    }

    fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    fn new(protocol: isize) -> io::Result<Self> {
        let socket = Socket::new(protocol)?;
        // A refusal doesn't repeat the request.
        socket.set_cap_ack(true)?;
        let state = State { outgoing: Vec::new(), drained: true, dump: Dump::default() };
        Ok(Self { socket, state: Mutex::new(state) })
    }

    fn poll_send(&self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        state.outgoing.extend_from_slice(bytes);
        let padded = state.outgoing.len().next_multiple_of(4);
        state.outgoing.resize(padded, 0);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
        _: &SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, bytes)
    }

    fn poll_recv<B: BufMut>(&self, _: &mut Context<'_>, buffer: &mut B) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.drained {
            return Poll::Pending;
        }
        // SAFETY: the socket is open as long as `self` lives, which is longer than this call.
        let fd = unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) };
        match state.read(fd, buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                state.drained = true;
                Poll::Pending
            }
            outcome => Poll::Ready(outcome),
        }
    }

    fn poll_recv_from<B: BufMut>(
        &self,
        context: &mut Context<'_>,
        buffer: &mut B,
    ) -> Poll<io::Result<SocketAddr>> {
        // Only root could send us anything in the kernel's place; its answers are told by their numbers.
        self.poll_recv(context, buffer).map_ok(|()| SocketAddr::new(KERNEL.0, KERNEL.1))
    }

    fn poll_recv_from_full(&self, context: &mut Context<'_>) -> Poll<io::Result<(Vec<u8>, SocketAddr)>> {
        let mut bytes = Vec::new();
        self.poll_recv_from(context, &mut bytes).map_ok(|address| (bytes, address))
    }
}
