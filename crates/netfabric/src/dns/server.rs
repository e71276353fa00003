//! The loop: waits, reads one thing at a time, and hands it to those who decide.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::connections::Connections;
use super::forward::{Forwarder, Settled, Way};
use super::message::{Query, Unusable};
use super::poll::{Poll, Token};
use super::resolve::{Answer, resolve};
use super::sockets::DnsSockets;
use super::turns::Turns;
use super::upstream::{Resolvers, Servers};
use super::waiter::{Client, Waiter};
use super::watch::ZoneFile;
use super::zone::{Table, Upstream, ZoneError};
use crate::datagram::{Datagram, Take, receive, send};

/// Longer than any question; what is longer is cut by the kernel and then found malformed.
const QUESTION_MAX: usize = 4096;

/// How often the zone is looked for where nothing tells of it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the server is told at start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The zone file. Its directory must exist.
    pub zone: PathBuf,
    /// Who knows what the fabric does not.
    pub resolvers: Resolvers,
    /// The file of the fabric's network namespace: servers on an asker's own network are asked from inside it, since an
    /// internal network can't be reached from the host. None: they are asked from the host like others.
    pub fabric: Option<PathBuf>,
}

/// Something the person who runs the server may want to know.
#[derive(Debug)]
pub enum Notice {
    ZoneLoaded {
        generation: u64,
    },
    /// The file can't be used; the zone of before stays in force.
    ZoneRejected(ZoneError),
}

/// Why the server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("can't watch the name server's descriptors")]
    Poll(#[source] io::Error),
}

/// Answers questions until the process ends.
///
/// Until there is a first usable zone nothing is read from the sockets: a question waits rather than
/// being told that a name does not exist.
pub fn serve(
    sockets: DnsSockets,
    config: Config,
    mut report: impl FnMut(Notice),
) -> Result<Infallible, ServeError> {
    let mut server = Server::new(sockets, config).map_err(ServeError::Poll)?;
    server.refresh_zone(&mut report).map_err(ServeError::Poll)?;
    loop {
        server.round(&mut report).map_err(ServeError::Poll)?;
    }
}

struct Server {
    poll: Poll,
    sockets: DnsSockets,
    /// The sockets are read: there is a zone.
    open: bool,
    /// Of each datagram socket, whether this process has read from it.
    has_read: Vec<bool>,
    zone: ZoneFile,
    servers: Servers,
    forwarder: Forwarder,
    connections: Connections,
    turns: Turns,
}

impl Server {
    fn new(sockets: DnsSockets, config: Config) -> io::Result<Self> {
        let poll = Poll::new()?;
        let zone = ZoneFile::new(config.zone);
        if let Some(wake) = zone.wake() {
            poll.add(wake, Token::Zone, EventFlags::IN)?;
        }
        Ok(Self {
            poll,
            has_read: vec![false; sockets.udp.len()],
            sockets,
            open: false,
            zone,
            servers: Servers::new(config.resolvers),
            forwarder: Forwarder::new(config.fabric),
            connections: Connections::default(),
            turns: Turns::default(),
        })
    }

    /// Waits once, then works on what came.
    ///
    /// The zone is looked at after the wait and before anything is read, and one wait lets at most one
    /// datagram through per socket. So a zone that was in place before a question was sent is in force
    /// when that question is read, and callers need no acknowledgement.
    fn round(&mut self, report: &mut impl FnMut(Notice)) -> io::Result<()> {
        let events = self.poll.wait(self.patience(Instant::now()))?;
        self.refresh_zone(report)?;
        let now = Instant::now();
        for (token, flags) in events {
            match token {
                Token::Zone => self.zone.drain(),
                Token::Udp(at) => self.read_datagram(at, now),
                Token::Listener(at) => self.connections.accept(&self.poll, &self.sockets.tcp[at], now),
                Token::Connection(serial) => {
                    self.connections.advance(serial, flags);
                    self.take_from_connection(serial, now);
                }
                Token::Exchange(serial) => {
                    let settled = self.forwarder.ready(&self.poll, now, &mut self.servers, serial);
                    self.conclude(settled, now);
                }
            }
        }
        self.expire(now);
        Ok(())
    }

    fn refresh_zone(&mut self, report: &mut impl FnMut(Notice)) -> io::Result<()> {
        match self.zone.refresh() {
            None => Ok(()),
            Some(Err(error)) => {
                report(Notice::ZoneRejected(error));
                Ok(())
            }
            Some(Ok(generation)) => {
                self.turns = Turns::default();
                report(Notice::ZoneLoaded { generation });
                self.open()
            }
        }
    }

    fn open(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.open, true) {
            return Ok(());
        }
        for (at, socket) in self.sockets.udp.iter().enumerate() {
            self.poll.add(socket, Token::Udp(at), EventFlags::IN)?;
        }
        for (at, listener) in self.sockets.tcp.iter().enumerate() {
            self.poll.add(listener, Token::Listener(at), EventFlags::IN)?;
        }
        Ok(())
    }

    /// How long nothing needs to be done by itself.
    fn patience(&self, now: Instant) -> Option<Duration> {
        let idle = self.connections.next_deadline();
        // Nothing may wake us for the zone: then it is looked for.
        let look = (!self.open || self.zone.wake().is_none()).then(|| now + LOOK_EVERY);
        let next = idle.into_iter().chain(self.forwarder.next_deadline()).chain(look).min()?;
        // A little late rather than early: an early wake-up finds nothing to do and waits again.
        Some(next.saturating_duration_since(now) + Duration::from_millis(1))
    }

    /// Answers one datagram, then takes it off the socket, in this order: when we are killed between
    /// the two, the next server answers again, which the asker does not even see; the other way round
    /// the question would be gone.
    ///
    /// The first one after a start is taken off unseen, though: it may be what killed the server before
    /// us. And what is taken off is answered if it is not what was seen: for a moment two servers may
    /// share the sockets.
    fn read_datagram(&mut self, at: usize, now: Instant) {
        let first = !std::mem::replace(&mut self.has_read[at], true);
        let seen = if first { None } else { receive(&self.sockets.udp[at], Take::Look, QUESTION_MAX) };
        if let Some(datagram) = &seen {
            self.take_datagram(at, datagram, now);
        }
        match receive(&self.sockets.udp[at], Take::Off, QUESTION_MAX) {
            Some(taken) if Some(&taken) != seen.as_ref() => self.take_datagram(at, &taken, now),
            _ => {}
        }
    }

    fn take_datagram(&mut self, socket: usize, datagram: &Datagram, now: Instant) {
        let path = datagram.path;
        self.take_question(&datagram.packet, Client::Udp { socket, path }, path.local, now);
    }

    /// Works on every whole question of a connection, then waits for what it needs next.
    fn take_from_connection(&mut self, serial: u64, now: Instant) {
        while let Some(connection) = self.connections.get_mut(serial) {
            let Some(packet) = connection.next_question(now) else { break };
            let client = Client::Tcp { connection: serial, peer: connection.peer };
            let local = connection.local;
            self.take_question(&packet, client, local, now);
        }
        self.connections.settle(&self.poll, serial);
    }

    fn take_question(&mut self, packet: &[u8], client: Client, local: IpAddr, now: Instant) {
        let query = match Query::parse(packet) {
            Ok(query) => query,
            Err(Unusable::Ignore) => return,
            Err(Unusable::Reply(error)) => return self.deliver(&client, &error),
        };
        let Some(table) = self.zone.table() else { return };
        let reply = match resolve(table, client.address(), &query.question) {
            Answer::Forward(_) if !query.recursion_desired => query.refused(),
            Answer::Forward(upstream) => {
                let mut ours = table.zone().listen.clone();
                ours.push(local);
                let servers = self.servers.choose(upstream, &ours, now);
                let ways = ways(table, client.address(), servers);
                let upstream = upstream.clone();
                return self.pass_on(Waiter { client, query }, upstream, ways, now);
            }
            answer => {
                let turn = self.turns.next(&answer, &query.question);
                query.reply(&answer, turn, client.transport())
            }
        };
        self.deliver(&client, &reply);
    }

    fn pass_on(&mut self, waiter: Waiter, upstream: Upstream, servers: Vec<Way>, now: Instant) {
        let client = waiter.client.clone();
        if let Some(turned_away) = self.forwarder.ask(&self.poll, now, waiter, upstream, servers) {
            self.deliver(&client, &turned_away.reply(None));
        } else if let Client::Tcp { connection, .. } = client
            && let Some(connection) = self.connections.get_mut(connection)
        {
            connection.wait_for_answer();
        }
    }

    fn deliver(&mut self, client: &Client, reply: &[u8]) {
        match client {
            // An answer that can't be sent is a lost datagram: the asker repeats its question.
            Client::Udp { socket, path } => drop(send(&self.sockets.udp[*socket], reply, path)),
            Client::Tcp { connection, .. } => self.connections.answer(*connection, reply),
        }
    }

    /// Tells everyone who waited for an exchange how it ended. Connections that waited may have more
    /// questions, unread so far.
    fn conclude(&mut self, settled: impl IntoIterator<Item = Settled>, now: Instant) {
        let mut freed = Vec::new();
        for Settled { waiters, answer } in settled {
            for waiter in waiters {
                let reply = waiter.reply(answer.as_deref());
                if let Client::Tcp { connection, .. } = waiter.client {
                    freed.push(connection);
                    if let Some(connection) = self.connections.get_mut(connection) {
                        connection.stop_waiting(now);
                    }
                }
                self.deliver(&waiter.client, &reply);
            }
        }
        for serial in freed {
            self.take_from_connection(serial, now);
        }
    }

    fn expire(&mut self, now: Instant) {
        let late = self.forwarder.expire(&self.poll, now, &mut self.servers);
        self.conclude(late, now);
        self.connections.expire(now);
    }
}

/// From where each server is asked on behalf of the instance at `asker`.
fn ways(table: &Table, asker: IpAddr, servers: Vec<SocketAddr>) -> Vec<Way> {
    let networks: Vec<_> =
        table.asker(asker).into_iter().flat_map(|asker| table.networks_of(asker)).map(|(_, n)| n).collect();
    let around = |ip: IpAddr| networks.iter().any(|n| n.subnets.iter().any(|subnet| subnet.contains(ip)));
    servers.into_iter().map(|server| Way { server, inside: around(server.ip()) }).collect()
}
