//! Connections of askers over TCP (RFC 7766): many questions on one, answered in any order.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::link::{frame_length, framed, take_frame};

/// How long a connection may say nothing of use. Half a question is nothing.
const IDLE: Duration = Duration::from_secs(10);

/// Questions under way on one connection; further ones stay unread.
const PENDING_MAX: usize = 8;

/// No question is longer: who announces one is not asking.
const QUESTION_MAX: usize = 4096;

/// One asker's connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// The address it was made to.
    pub(super) local: IpAddr,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Questions passed on whose answers are not here yet.
    pending: usize,
    /// The asker will send no more.
    ended: bool,
    deadline: Instant,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, now: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?.ip();
        let (inbox, outbox) = (Vec::new(), Vec::new());
        Ok(Self { stream, peer, local, inbox, outbox, pending: 0, ended: false, deadline: now + IDLE })
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What the loop should wake us for. Nothing is read while answers can't be written or too many
    /// questions are under way: an asker that does not listen fills its own buffers, not ours.
    pub(super) fn interest(&self) -> EventFlags {
        let mut interest = EventFlags::empty();
        interest.set(EventFlags::OUT, !self.outbox.is_empty());
        interest.set(EventFlags::IN, self.takes_questions() && !self.ended);
        interest
    }

    /// Whether nothing more can happen on it.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.pending == 0 && self.outbox.is_empty()
    }

    /// Reads what is there. An error ends the connection.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 2048];
        if self.ended || !self.takes_questions() {
            return Ok(());
        }
        match self.stream.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(length) => self.inbox.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        match frame_length(&self.inbox) {
            Some(length) if length > QUESTION_MAX => Err(io::ErrorKind::InvalidData.into()),
            _ => Ok(()),
        }
    }

    /// The next question that is here in full and may be worked on.
    pub(super) fn next_question(&mut self, now: Instant) -> Option<Vec<u8>> {
        if !self.takes_questions() {
            return None;
        }
        let question = take_frame(&mut self.inbox)?;
        self.deadline = now + IDLE;
        Some(question)
    }

    /// Notes that a question was passed on.
    pub(super) fn wait_for_answer(&mut self) {
        self.pending += 1;
    }

    /// Notes that its answer is here.
    pub(super) fn stop_waiting(&mut self, now: Instant) {
        self.pending = self.pending.saturating_sub(1);
        self.deadline = now + IDLE;
    }

    /// Sends an answer, now or when the asker takes it. An error ends the connection.
    pub(super) fn answer(&mut self, packet: &[u8]) -> io::Result<()> {
        self.outbox.extend(framed(packet));
        self.flush()
    }

    /// Writes what the asker takes. An error ends the connection.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(sent) => drop(self.outbox.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn takes_questions(&self) -> bool {
        self.outbox.is_empty() && self.pending < PENDING_MAX
    }
}
