//! The connections: accepting, checking who is there, sending without ever waiting.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{SocketFlags, accept_with, sockopt::socket_peercred};
use rustix::process::{Pid, geteuid};

use super::poll::{Poller, Token};
use crate::protocol::frame::{self, Frame, Packet};
use crate::protocol::{Event, Message, Reply};

/// A peer that lets so many messages wait is stuck; it is cut off and can ask again.
const MOST_WAITING: usize = 4096;

/// Where an answer goes. The peer may be gone by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) peer: u32,
    pub(crate) request: u64,
}

#[derive(Debug)]
struct Peer {
    socket: OwnedFd,
    pid: Option<Pid>,
    waiting: VecDeque<Packet>,
    greeted: bool,
    is_agent: bool,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    by_id: BTreeMap<u32, Peer>,
    last_id: u32,
}

impl Peers {
    /// Takes every connection that waits.
    pub(crate) fn accept(&mut self, listener: BorrowedFd<'_>, poller: &Poller) -> io::Result<()> {
        loop {
            let socket = match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => socket,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            let credentials = socket_peercred(&socket)?;
            // The socket's mode keeps others away; this does should someone have changed it.
            if !credentials.uid.is_root() && credentials.uid != geteuid() {
                continue;
            }
            self.last_id += 1;
            poller.watch(socket.as_fd(), Token::Peer(self.last_id))?;
            let pid = Some(credentials.pid);
            let peer = Peer { socket, pid, waiting: VecDeque::new(), greeted: false, is_agent: false };
            self.by_id.insert(self.last_id, peer);
        }
    }

    /// The next message of a peer. `None`: nothing now. A peer that has gone or talks nonsense is dropped.
    pub(crate) fn receive(&mut self, id: u32) -> Option<Frame> {
        let peer = self.by_id.get(&id)?;
        match frame::receive(peer.socket.as_fd()) {
            Ok(Some(frame)) => Some(frame),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Ok(None) | Err(_) => {
                self.by_id.remove(&id);
                None
            }
        }
    }

    pub(crate) fn greet(&mut self, id: u32, is_agent: bool) {
        if let Some(peer) = self.by_id.get_mut(&id) {
            peer.greeted = true;
            peer.is_agent = is_agent;
        }
    }

    pub(crate) fn is_greeted(&self, id: u32) -> bool {
        self.by_id.get(&id).is_some_and(|peer| peer.greeted)
    }

    /// Whether the agent's words come over this connection.
    pub(crate) fn is_agent(&self, id: u32) -> bool {
        self.by_id.get(&id).is_some_and(|peer| peer.is_agent)
    }

    /// All connections of agents, dead ones too.
    pub(crate) fn agents(&self) -> Vec<u32> {
        self.by_id.iter().filter(|(_, peer)| peer.is_agent).map(|(id, _)| *id).collect()
    }

    /// The process that connected.
    pub(crate) fn pid(&self, id: u32) -> Option<Pid> {
        self.by_id.get(&id)?.pid
    }

    pub(crate) fn reply(&mut self, to: Caller, reply: Reply, fds: Vec<OwnedFd>, poller: &Poller) {
        let message = Message::Reply { id: to.request, reply };
        self.send(to.peer, Packet::new(&message, fds), poller);
    }

    /// Tells everyone. Descriptors go to agents only, each with duplicates of its own.
    pub(crate) fn tell(&mut self, event: &Event, fds: &[BorrowedFd<'_>], poller: &Poller) {
        let message = Message::Event(event.clone());
        let greeted: Vec<(u32, bool)> = self
            .by_id
            .iter()
            .filter(|(_, peer)| peer.greeted)
            .map(|(id, peer)| (*id, peer.is_agent))
            .collect();
        for (id, is_agent) in greeted {
            let fds = if is_agent { duplicates(fds) } else { Ok(Vec::new()) };
            self.send(id, fds.and_then(|fds| Packet::new(&message, fds)), poller);
        }
    }

    /// Sends what waits for a peer that can take it again.
    pub(crate) fn flush(&mut self, id: u32, poller: &Poller) {
        let Some(peer) = self.by_id.get_mut(&id) else { return };
        if peer.waiting.is_empty() {
            return;
        }
        while let Some(packet) = peer.waiting.front() {
            match packet.send(peer.socket.as_fd()) {
                Ok(()) => drop(peer.waiting.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.by_id.remove(&id);
                    return;
                }
            }
        }
        let _ = poller.watch(peer.socket.as_fd(), Token::Peer(id));
    }

    fn send(&mut self, id: u32, packet: io::Result<Packet>, poller: &Poller) {
        let Some(peer) = self.by_id.get_mut(&id) else { return };
        // A message that can't be made can't be told of either; without the connection the peer asks anew.
        let (Ok(packet), true) = (packet, peer.waiting.len() < MOST_WAITING) else {
            self.by_id.remove(&id);
            return;
        };
        if peer.waiting.is_empty() {
            match packet.send(peer.socket.as_fd()) {
                Ok(()) => return,
                // Its turn comes when the socket has room.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let _ = poller.watch_both(peer.socket.as_fd(), Token::Peer(id));
                }
                Err(_) => {
                    self.by_id.remove(&id);
                    return;
                }
            }
        }
        peer.waiting.push_back(packet);
    }
}

/// New descriptors for the same open files.
pub(crate) fn duplicates(fds: &[BorrowedFd<'_>]) -> io::Result<Vec<OwnedFd>> {
    fds.iter().map(BorrowedFd::try_clone_to_owned).collect()
}
