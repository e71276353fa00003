//! Askers, and questions of theirs that wait for an answer from elsewhere.

use std::net::{IpAddr, SocketAddr};

use super::message::{Query, Transport};
use crate::datagram::Path;

/// To whom an answer goes.
#[derive(Clone, Debug)]
pub(super) enum Client {
    Udp { socket: usize, path: Path },
    Tcp { connection: u64, peer: SocketAddr },
}

impl Client {
    pub(super) fn address(&self) -> IpAddr {
        self.peer().ip().to_canonical()
    }

    pub(super) fn peer(&self) -> SocketAddr {
        match self {
            Client::Udp { path, .. } => path.peer,
            Client::Tcp { peer, .. } => *peer,
        }
    }

    pub(super) fn transport(&self) -> Transport {
        match self {
            Client::Udp { .. } => Transport::Udp,
            Client::Tcp { .. } => Transport::Tcp,
        }
    }
}

/// A question that waits, and who asked it.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) client: Client,
    pub(super) query: Query,
}

impl Waiter {
    /// What it gets: the resolver's answer under its own id, or a failure.
    pub(super) fn reply(&self, answer: Option<&[u8]>) -> Vec<u8> {
        answer.map_or_else(|| self.query.server_failure(), |a| self.query.adopt(a, self.client.transport()))
    }
}
