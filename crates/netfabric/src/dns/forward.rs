//! Questions passed on to other resolvers, and the askers who wait for them.
//!
//! Equal questions share one exchange. That spares the resolver, gives a forger one chance where he
//! would have many (RFC 5452, 5), and ends loops: a question that comes back to us, through whatever
//! resolver, finds itself under way and waits for itself, until its time is over.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::link::Link;
use super::message::Transport;
use super::poll::{Poll, Token};
use super::scrub::{Judged, judge};
use super::upstream::Servers;
use super::waiter::{Client, Waiter};
use super::zone::Upstream;

/// How long one resolver may take. With three of them, an answer or a failure comes soon after a
/// resolver's first repeat (5 s), which joins the exchange.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Exchanges at once: with the connections (64), they stay below the usual limit of 1024 descriptors.
const EXCHANGES_MAX: usize = 512;

/// Questions one asker may have waiting: half of what there is, so that none starves all others.
const WAITING_PER_ASKER: usize = 256;

/// Questions that may wait in all: a bound on memory.
const WAITING_MAX: usize = 2048;

/// An exchange that is over. Without an answer, every waiter gets a failure.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) waiters: Vec<Waiter>,
    pub(super) answer: Option<Vec<u8>>,
}

/// What makes two questions one: all the asker sent but the id and the case of the name, the way it
/// travels, who is asked, and which of those on a network of the asker's: others must not share what only they reach.
type Key = (Vec<u8>, Transport, Upstream, BTreeSet<SocketAddr>);

/// A server to ask, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) server: SocketAddr,
    /// It is on a network of the asker's, which may have no way in from the host: asked from inside the fabric.
    pub(super) inside: bool,
}

#[derive(Debug)]
struct Exchange {
    key: Key,
    packet: Vec<u8>,
    transport: Transport,
    waiters: Vec<Waiter>,
    servers: std::vec::IntoIter<Way>,
    server: SocketAddr,
    link: Link,
    deadline: Instant,
    /// A refusal or failure from an earlier server: told if no other does better.
    excuse: Option<Vec<u8>>,
}

/// All questions under way.
#[derive(Debug, Default)]
pub(super) struct Forwarder {
    /// The fabric's network namespace, if servers inside it can be asked.
    fabric: Option<PathBuf>,
    exchanges: HashMap<u64, Exchange>,
    under_way: HashMap<Key, u64>,
    last: u64,
}

impl Forwarder {
    pub(super) fn new(fabric: Option<PathBuf>) -> Self {
        Self { fabric, ..Self::default() }
    }

    /// Asks `servers` on behalf of `waiter`, or lets it wait with others for the same question. Gives
    /// it back when there is no room for it, or no server to ask.
    pub(super) fn ask(
        &mut self,
        poll: &Poll,
        now: Instant,
        waiter: Waiter,
        upstream: Upstream,
        servers: Vec<Way>,
    ) -> Option<Waiter> {
        if self.is_full_for(waiter.client.address()) {
            return Some(waiter);
        }
        let transport = waiter.client.transport();
        let inside = servers.iter().filter(|way| way.inside).map(|way| way.server).collect();
        let key = (waiter.query.essence(), transport, upstream, inside);
        if let Some(exchange) = self.under_way.get(&key).and_then(|serial| self.exchanges.get_mut(serial)) {
            exchange.join(waiter);
            return None;
        }
        if self.exchanges.len() >= EXCHANGES_MAX {
            return Some(waiter);
        }
        let serial = self.last + 1;
        let mut packet = waiter.query.packet.clone();
        let mut servers = servers.into_iter();
        let opened = open_next(poll, serial, transport, &mut packet, &mut servers, self.fabric.as_deref());
        let Some((server, link)) = opened else {
            return Some(waiter);
        };
        self.last = serial;
        self.under_way.insert(key.clone(), serial);
        let (waiters, deadline) = (vec![waiter], now + PATIENCE);
        let exchange =
            Exchange { key, packet, transport, waiters, servers, server, link, deadline, excuse: None };
        self.exchanges.insert(serial, exchange);
        None
    }

    /// Goes on with an exchange whose socket has something to say.
    pub(super) fn ready(
        &mut self,
        poll: &Poll,
        now: Instant,
        servers: &mut Servers,
        serial: u64,
    ) -> Option<Settled> {
        let exchange = self.exchanges.get_mut(&serial)?;
        let answer = match exchange.link.advance() {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let token = Token::Exchange(serial);
                poll.modify(exchange.link.fd(), token, exchange.link.interest()).ok();
                return None;
            }
            Err(_) => return self.try_next(poll, now, serial),
        };
        match judge(&exchange.packet, answer) {
            Judged::Foreign => None,
            Judged::Unusable => self.try_next(poll, now, serial),
            Judged::Usable(answer) => {
                servers.answered(exchange.server);
                if !is_excuse(&answer) {
                    return self.settle(serial, Some(answer));
                }
                exchange.excuse = Some(answer);
                self.try_next(poll, now, serial)
            }
        }
    }

    /// Gives up on the servers that took too long.
    pub(super) fn expire(&mut self, poll: &Poll, now: Instant, servers: &mut Servers) -> Vec<Settled> {
        let late: Vec<u64> =
            self.exchanges.iter().filter(|(_, e)| e.deadline <= now).map(|(serial, _)| *serial).collect();
        late.into_iter()
            .filter_map(|serial| {
                servers.timed_out(self.exchanges.get(&serial)?.server, now);
                self.try_next(poll, now, serial)
            })
            .collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.exchanges.values().map(|exchange| exchange.deadline).min()
    }

    fn is_full_for(&self, asker: IpAddr) -> bool {
        let waiting = self.exchanges.values().flat_map(|exchange| &exchange.waiters);
        let (mut all, mut of_asker) = (0, 0);
        for waiter in waiting {
            all += 1;
            of_asker += usize::from(waiter.client.address() == asker);
        }
        all >= WAITING_MAX || of_asker >= WAITING_PER_ASKER
    }

    fn try_next(&mut self, poll: &Poll, now: Instant, serial: u64) -> Option<Settled> {
        let exchange = self.exchanges.get_mut(&serial)?;
        let Exchange { transport, packet, servers, .. } = exchange;
        match open_next(poll, serial, *transport, packet, servers, self.fabric.as_deref()) {
            Some((server, link)) => {
                (exchange.server, exchange.link) = (server, link);
                exchange.deadline = now + PATIENCE;
                None
            }
            None => {
                let excuse = exchange.excuse.take();
                self.settle(serial, excuse)
            }
        }
    }

    fn settle(&mut self, serial: u64, answer: Option<Vec<u8>>) -> Option<Settled> {
        let exchange = self.exchanges.remove(&serial)?;
        self.under_way.remove(&exchange.key);
        Some(Settled { waiters: exchange.waiters, answer })
    }
}

impl Exchange {
    /// A resolver's repeat of a datagram adds nobody: it gets one answer.
    fn join(&mut self, waiter: Waiter) {
        let same = |other: &Waiter| {
            matches!(waiter.client, Client::Udp { .. })
                && other.client.peer() == waiter.client.peer()
                && other.query.id() == waiter.query.id()
        };
        if !self.waiters.iter().any(same) {
            self.waiters.push(waiter);
        }
    }
}

/// Opens a link to the first server that can be reached at all, under an id nobody can guess.
fn open_next(
    poll: &Poll,
    serial: u64,
    transport: Transport,
    packet: &mut [u8],
    servers: &mut std::vec::IntoIter<Way>,
    fabric: Option<&Path>,
) -> Option<(SocketAddr, Link)> {
    servers.find_map(|Way { server, inside }| {
        let mut open = || -> io::Result<Link> {
            rustix::rand::getrandom(&mut packet[..2], rustix::rand::GetRandomFlags::empty())?;
            let link = match fabric.filter(|_| inside) {
                Some(fabric) => Link::open_inside(fabric, transport, server, packet)?,
                None => Link::open(transport, server, packet)?,
            };
            poll.add(link.fd(), Token::Exchange(serial), link.interest())?;
            Ok(link)
        };
        Some((server, open().ok()?))
    })
}

/// SERVFAIL, NOTIMP and REFUSED speak of the server, not of the name: another one may know.
fn is_excuse(answer: &[u8]) -> bool {
    matches!(answer[3] & 0x0f, 2 | 4 | 5)
}

#[cfg(test)]
mod tests;
