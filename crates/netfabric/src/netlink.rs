//! Talking to the kernel by netlink: rtnetlink for links, addresses, routes, rules and neighbours ([`rtnl::Rtnl`]), and
//! a socket for netfilter's messages ([`Socket`]).
//!
//! The kernel works through a request while it is sent, so a request is a system call that takes microseconds to a
//! millisecond; there is nothing to wait for asynchronously. A socket belongs to the namespace in which it was opened,
//! whichever thread uses it afterwards.

use std::fmt::Debug;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket as RawSocket, SocketAddr};

mod batch;
pub(crate) mod datagrams;
pub(crate) mod link;
pub(crate) mod neighbour;
pub(crate) mod route;
pub(crate) mod rtnl;
pub(crate) mod rule;

/// Room for one transaction: 100 service addresses of 64 slots each are about half a megabyte.
const SOCKET_BUFFER: usize = 8 << 20;
/// The kernel cuts listings into datagrams of at most 32 KiB, and refusals don't repeat the request.
const DATAGRAM: usize = 64 << 10;
/// A dump is interrupted when something changes meanwhile; it is then taken again, this often.
const DUMP_ATTEMPTS: usize = 10;

/// What the kernel answered to an attempt.
#[derive(Debug, thiserror::Error)]
#[error("can't {what}")]
pub struct KernelError {
    /// The attempt, as an imperative: `add bridge br0`.
    pub what: String,
    /// The kernel's answer.
    #[source]
    pub source: io::Error,
}

impl KernelError {
    pub(crate) fn new(what: impl Into<String>, source: io::Error) -> Self {
        Self { what: what.into(), source }
    }

    /// Whether the kernel's answer was this error number.
    pub(crate) fn is(&self, errno: i32) -> bool {
        self.source.raw_os_error() == Some(errno)
    }
}

/// One message to the kernel, and what it is meant to do.
#[derive(Debug)]
pub(crate) struct Request<T> {
    pub(crate) what: String,
    pub(crate) payload: T,
    pub(crate) flags: u16,
}

impl<T> Request<T> {
    pub(crate) fn new(what: impl Into<String>, payload: T, flags: u16) -> Self {
        Self { what: what.into(), payload, flags }
    }
}

/// The messages of one netlink family.
pub(crate) trait Message: NetlinkSerializable + NetlinkDeserializable + Debug {}

impl<T: NetlinkSerializable + NetlinkDeserializable + Debug> Message for T {}

/// A socket to netfilter.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: RawSocket,
    port: u32,
    /// Number of the next message; answers carry it.
    next: u32,
    datagram: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the namespace of the calling thread, for small requests.
    pub(crate) fn open_small(protocol: isize) -> io::Result<Self> {
        let mut inner = RawSocket::new(protocol)?;
        let port = inner.bind_auto()?.port_number();
        inner.connect(&SocketAddr::new(0, 0))?;
        inner.set_cap_ack(true)?;
        Ok(Self { inner, port, next: 1, datagram: Vec::with_capacity(DATAGRAM) })
    }

    /// Opens a socket in the namespace of the calling thread.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let Self { inner, port, next, datagram } = Self::open_small(protocol)?;
        // SAFETY: the socket is open as long as `inner` lives, which is longer than this call.
        let fd = unsafe { BorrowedFd::borrow_raw(inner.as_raw_fd()) };
        // Without CAP_NET_ADMIN in the initial user namespace the default stays, which only limits size.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(fd, SOCKET_BUFFER);
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(fd, SOCKET_BUFFER);
        Ok(Self { inner, port, next, datagram })
    }

    /// The number by which the kernel names this socket as the author of a change (netlink(7), `nl_pid`).
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// Sends one request, and returns what the kernel had to say beside the acknowledgement.
    pub(crate) fn request<T: Message>(&mut self, request: Request<T>) -> Result<Vec<T>, KernelError> {
        self.requests(vec![request])
    }

    /// Sends requests in one system call; each is carried out on its own. The first failure is returned.
    pub(crate) fn requests<T: Message>(&mut self, requests: Vec<Request<T>>) -> Result<Vec<T>, KernelError> {
        let first = self.next;
        let mut buffer = Vec::new();
        let mut attempts = Vec::with_capacity(requests.len());
        for request in requests {
            attempts.push(request.what);
            self.push(&mut buffer, request.payload, request.flags | NLM_F_ACK);
        }
        self.send(&buffer, attempts.first())?;
        let mut replies = Vec::new();
        let mut failure: Option<(u32, io::Error)> = None;
        let mut waiting = attempts.len();
        while waiting > 0 {
            for message in self.receive::<T>(0).map_err(|source| named(&attempts, first, first, source))? {
                let sequence = message.header.sequence_number;
                match message.payload {
                    _ if !(first..self.next).contains(&sequence) => {}
                    NetlinkPayload::InnerMessage(reply) => replies.push(reply),
                    NetlinkPayload::Error(answer) => {
                        waiting -= 1;
                        if answer.code.is_some() && failure.is_none() {
                            failure = Some((sequence, answer.to_io()));
                        }
                    }
                    _ => {}
                }
            }
        }
        match failure {
            Some((sequence, source)) => Err(named(&attempts, first, sequence, source)),
            None => Ok(replies),
        }
    }

    /// Sends requests as one transaction: all or nothing. `open` and `close` are the messages that
    /// begin and end it; the kernel answers only for what it refused, and for the last request.
    pub(crate) fn transaction<T: Message>(
        &mut self,
        open: T,
        requests: Vec<Request<T>>,
        close: T,
    ) -> Result<(), KernelError> {
        if requests.is_empty() {
            return Ok(());
        }
        let mut buffer = Vec::new();
        self.push(&mut buffer, open, 0);
        let first = self.next;
        let last = requests.len() - 1;
        let mut attempts = Vec::with_capacity(requests.len());
        for (index, request) in requests.into_iter().enumerate() {
            attempts.push(request.what);
            let ack = if index == last { NLM_F_ACK } else { 0 };
            self.push(&mut buffer, request.payload, request.flags | ack);
        }
        self.push(&mut buffer, close, 0);
        self.send(&buffer, attempts.first())?;
        self.transaction_answer::<T>(&attempts, first)
    }

    /// Reads what the kernel already answered: it did so before `sendmsg` returned. A refusal may come
    /// without the last request's acknowledgement, so nothing is waited for.
    fn transaction_answer<T: Message>(&mut self, attempts: &[String], first: u32) -> Result<(), KernelError> {
        let mut answered = false;
        loop {
            let messages = match self.receive::<T>(libc::MSG_DONTWAIT) {
                Ok(messages) => messages,
                Err(source) if source.kind() == io::ErrorKind::WouldBlock => break,
                Err(source) => return Err(named(attempts, first, first, source)),
            };
            for message in messages {
                let sequence = message.header.sequence_number;
                let NetlinkPayload::Error(answer) = message.payload else { continue };
                // The opening message's number counts too: a transaction refused as a whole names it.
                if !(first - 1..self.next).contains(&sequence) {
                    continue;
                }
                answered = true;
                if answer.code.is_some() {
                    let error = named(attempts, first, sequence, answer.to_io());
                    while self.receive::<T>(libc::MSG_DONTWAIT).is_ok() {}
                    return Err(error);
                }
            }
        }
        if answered {
            return Ok(());
        }
        Err(named(attempts, first, first, io::Error::other("the kernel gave no answer")))
    }

    /// Asks for a listing and returns every message of it.
    pub(crate) fn dump<T: Message + Clone>(&mut self, request: Request<T>) -> Result<Vec<T>, KernelError> {
        let mut last = io::Error::other("the listing was interrupted every time");
        for _ in 0..DUMP_ATTEMPTS {
            match self.dump_once(request.payload.clone(), request.flags) {
                Ok(Some(messages)) => return Ok(messages),
                Ok(None) => {}
                // The families say that a change came in between in either way.
                Err(source) if source.raw_os_error() == Some(libc::EINTR) => last = source,
                Err(source) => return Err(KernelError::new(request.what, source)),
            }
        }
        Err(KernelError::new(request.what, last))
    }

    fn dump_once<T: Message>(&mut self, payload: T, flags: u16) -> io::Result<Option<Vec<T>>> {
        let mut buffer = Vec::new();
        let sequence = self.push(&mut buffer, payload, flags | NLM_F_DUMP);
        self.inner.send(&buffer, 0)?;
        let mut messages = Vec::new();
        let mut interrupted = false;
        loop {
            for message in self.receive::<T>(0)? {
                if message.header.sequence_number != sequence {
                    continue;
                }
                interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) => messages.push(inner),
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Err(io::Error::from_raw_os_error(-done.code));
                    }
                    NetlinkPayload::Done(_) => return Ok((!interrupted).then_some(messages)),
                    _ => {}
                }
            }
        }
    }

    fn push<T: Message>(&mut self, buffer: &mut Vec<u8>, payload: T, flags: u16) -> u32 {
        let sequence = self.next;
        self.next = self.next.wrapping_add(1).max(1);
        let mut message = NetlinkMessage::new(
            netlink_packet_core::NetlinkHeader::default(),
            NetlinkPayload::InnerMessage(payload),
        );
        message.header.flags = flags | NLM_F_REQUEST;
        message.header.sequence_number = sequence;
        message.finalize();
        let start = buffer.len();
        buffer.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut buffer[start..]);
        sequence
    }

    fn send(&mut self, buffer: &[u8], what: Option<&String>) -> Result<(), KernelError> {
        self.inner
            .send(buffer, 0)
            .map(drop)
            .map_err(|source| KernelError::new(what.map_or("send to the kernel", String::as_str), source))
    }

    fn receive<T: Message>(&mut self, flags: libc::c_int) -> io::Result<Vec<NetlinkMessage<T>>> {
        self.datagram.clear();
        let length = self.inner.recv(&mut self.datagram, flags | libc::MSG_TRUNC)?;
        if length > self.datagram.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "an answer larger than any the kernel gives",
            ));
        }
        parse(&self.datagram)
    }
}

fn parse<T: Message>(mut rest: &[u8]) -> io::Result<Vec<NetlinkMessage<T>>> {
    let mut messages = Vec::new();
    while rest.len() >= 16 {
        let message = NetlinkMessage::<T>::deserialize(rest)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let length = (message.header.length as usize).next_multiple_of(4);
        messages.push(message);
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(messages)
}

fn named(attempts: &[String], first: u32, sequence: u32, source: io::Error) -> KernelError {
    let attempt = attempts.get(sequence.wrapping_sub(first) as usize).or(attempts.first());
    KernelError::new(attempt.map_or("send to the kernel", String::as_str), source)
}
