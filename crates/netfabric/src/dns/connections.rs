//! All connections that are open, and how many may be.

use std::collections::HashMap;
use std::net::TcpListener;
use std::time::Instant;

use rustix::event::epoll::EventFlags;

use super::poll::{Poll, Token};
use super::stream::Connection;

/// Connections at once, and of one asker.
const CONNECTIONS_MAX: usize = 64;
const CONNECTIONS_PER_ASKER: usize = 16;

/// Open connections by serial number.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: HashMap<u64, Connection>,
    last: u64,
}

impl Connections {
    /// Takes one connection from `listener`; one too many is closed at once.
    pub(super) fn accept(&mut self, poll: &Poll, listener: &TcpListener, now: Instant) {
        let Ok((stream, peer)) = listener.accept() else { return };
        let of_asker = self.open.values().filter(|c| c.peer.ip() == peer.ip()).count();
        if self.open.len() >= CONNECTIONS_MAX || of_asker >= CONNECTIONS_PER_ASKER {
            return;
        }
        let Ok(connection) = Connection::new(stream, peer, now) else { return };
        self.last += 1;
        let token = Token::Connection(self.last);
        if poll.add(&connection.stream, token, connection.interest()).is_ok() {
            self.open.insert(self.last, connection);
        }
    }

    pub(super) fn get_mut(&mut self, serial: u64) -> Option<&mut Connection> {
        self.open.get_mut(&serial)
    }

    /// Reads and writes what the kernel says it can. Gone afterwards, if it failed.
    pub(super) fn advance(&mut self, serial: u64, flags: EventFlags) {
        let gone = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        let Some(connection) = self.open.get_mut(&serial) else { return };
        if gone || connection.flush().is_err() || connection.fill().is_err() {
            self.open.remove(&serial);
        }
    }

    pub(super) fn answer(&mut self, serial: u64, reply: &[u8]) {
        if self.open.get_mut(&serial).is_some_and(|connection| connection.answer(reply).is_err()) {
            self.open.remove(&serial);
        }
    }

    /// Waits for what a connection needs next, or closes it when that is nothing.
    pub(super) fn settle(&mut self, poll: &Poll, serial: u64) {
        let Some(connection) = self.open.get(&serial) else { return };
        let interest = connection.interest();
        let modified = poll.modify(&connection.stream, Token::Connection(serial), interest);
        if connection.is_over() || modified.is_err() {
            self.open.remove(&serial);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.open.values().map(Connection::deadline).min()
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.open.retain(|_, connection| connection.deadline() > now);
    }
}
