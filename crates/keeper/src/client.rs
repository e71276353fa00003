//! The agent's side of the conversation with a keeper.
//!
//! The socket can be waited on ([`AsFd`]) by whatever loop the agent has; nothing here needs one. Either
//! block ([`Client::call`]), or make it not block, [`Client::send`] and [`Client::receive`], and match
//! answers to requests by number.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect as connect_socket, socket_with};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::address::address;
use crate::protocol::frame::{self, Packet};
use crate::protocol::{Hello, Message, Numbered, Reply, Request, Versions, Welcome};

/// A connection to a keeper.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    next_id: u64,
    /// What came while an answer was waited for.
    early: VecDeque<Received>,
}

/// A message with its descriptors.
#[derive(Debug)]
pub struct Received {
    pub message: Message,
    pub fds: Vec<OwnedFd>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The socket can't be reached: no keeper runs.
    #[error("can't reach the keeper")]
    Unreachable(#[source] io::Error),
    /// The conversation broke off.
    #[error("the keeper does not answer")]
    Silent(#[source] io::Error),
    /// It doesn't want to talk, by rule as it speaks other versions.
    #[error("the keeper refused: {0}")]
    Refused(String),
}

/// How long a keeper may take to answer the first word: one that is stopped (SIGSTOP) never does.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects as the agent: the keeper will restart this program when it dies without a
/// [`Request::Goodbye`]. Blocks, for as long as the keeper's loop takes for a turn, and for five seconds at most.
///
/// # Errors
///
/// See [`ConnectError`].
pub fn connect(path: &Path) -> Result<(Client, Welcome), ConnectError> {
    let pidfd =
        pidfd_open(getpid(), PidfdFlags::empty()).map_err(|error| ConnectError::Silent(error.into()))?;
    connect_as(path, &Hello { versions: Versions::OURS, agent: true }, vec![pidfd])
}

/// Connects without being watched.
///
/// # Errors
///
/// See [`ConnectError`].
pub fn connect_as_guest(path: &Path) -> Result<(Client, Welcome), ConnectError> {
    connect_as(path, &Hello { versions: Versions::OURS, agent: false }, Vec::new())
}

fn connect_as(path: &Path, hello: &Hello, fds: Vec<OwnedFd>) -> Result<(Client, Welcome), ConnectError> {
    let socket = open(path).map_err(ConnectError::Unreachable)?;
    let mut client = Client { socket, next_id: 1, early: VecDeque::new() };
    let answer = client.call(Request::Hello(hello.clone()), fds).map_err(ConnectError::Silent)?;
    wait_at_most(&client.socket, None).map_err(ConnectError::Silent)?;
    match answer.0 {
        Reply::Welcome(welcome) => Ok((client, welcome)),
        Reply::Refused { message, .. } => Err(ConnectError::Refused(message)),
        other => Err(ConnectError::Refused(format!("an answer out of place: {other:?}"))),
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    wait_at_most(&socket, Some(PATIENCE))?;
    connect_socket(&socket, &address(path)?.socket)?;
    Ok(socket)
}

/// Bounds every call that waits on the socket, connecting included (SO_RCVTIMEO and SO_SNDTIMEO, socket(7)).
fn wait_at_most(socket: &OwnedFd, bound: Option<Duration>) -> io::Result<()> {
    for direction in [Timeout::Recv, Timeout::Send] {
        set_socket_timeout(socket, direction, bound)?;
    }
    Ok(())
}

impl Client {
    /// Whether [`Client::send`] and [`Client::receive`] return `WouldBlock` rather than wait.
    ///
    /// # Errors
    ///
    /// None that is expected.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        Ok(ioctl_fionbio(&self.socket, nonblocking)?)
    }

    /// Sends a request and returns its number. The descriptors are closed here once they are on their way.
    ///
    /// # Errors
    ///
    /// What sendmsg(2) says. After `WouldBlock` nothing was sent, and the descriptors are gone: use
    /// [`Client::prepare`] where that matters.
    pub fn send(&mut self, request: Request, fds: Vec<OwnedFd>) -> io::Result<u64> {
        let (id, packet) = self.prepare(request, fds)?;
        packet.send(self.socket.as_fd())?;
        Ok(id)
    }

    /// Gives a request its number and makes it ready for [`Packet::send`] on this socket.
    ///
    /// # Errors
    ///
    /// See [`Packet::new`].
    pub fn prepare(&mut self, request: Request, fds: Vec<OwnedFd>) -> io::Result<(u64, Packet)> {
        let id = self.next_id;
        self.next_id += 1;
        Ok((id, Packet::new(&Numbered { id, request }, fds)?))
    }

    /// The next message; `None` when the keeper has gone.
    ///
    /// # Errors
    ///
    /// See [`frame::receive`].
    pub fn receive(&mut self) -> io::Result<Option<Received>> {
        match self.early.pop_front() {
            Some(early) => Ok(Some(early)),
            None => self.receive_new(),
        }
    }

    /// Sends a request and waits for its answer; events that come before it are kept for
    /// [`Client::receive`]. Only on a socket that blocks.
    ///
    /// # Errors
    ///
    /// As [`Client::send`] and [`Client::receive`]; `ConnectionReset` when the keeper has gone.
    pub fn call(&mut self, request: Request, fds: Vec<OwnedFd>) -> io::Result<(Reply, Vec<OwnedFd>)> {
        let wanted = self.send(request, fds)?;
        loop {
            let Some(received) = self.receive_new()? else { return Err(Errno::CONNRESET.into()) };
            match received.message {
                Message::Reply { id, reply } if id == wanted => return Ok((reply, received.fds)),
                _ => self.early.push_back(received),
            }
        }
    }

    fn receive_new(&mut self) -> io::Result<Option<Received>> {
        let Some(frame) = frame::receive(self.socket.as_fd())? else { return Ok(None) };
        // What a later keeper tells and we don't know isn't worth the connection.
        let message = serde_json::from_slice(&frame.bytes).unwrap_or(Message::Unknown);
        Ok(Some(Received { message, fds: frame.fds }))
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
