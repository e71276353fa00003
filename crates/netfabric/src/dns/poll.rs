//! What the loop waits for: descriptors under names of our own.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// Names one descriptor the loop waits for. Serial numbers are never used twice, so an event that was
/// queued for something closed since finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Zone,
    Udp(usize),
    Listener(usize),
    Connection(u64),
    Exchange(u64),
}

/// An epoll(7) instance, level-triggered. Closed descriptors leave it by themselves: only the
/// listening sockets have duplicates, and those are never closed.
pub(super) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(64) })
    }

    pub(super) fn add(&self, source: impl AsFd, token: Token, interest: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, token.encode(), interest)?)
    }

    pub(super) fn modify(&self, source: impl AsFd, token: Token, interest: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, source, token.encode(), interest)?)
    }

    /// Waits for events, at most `timeout`. An interruption by a signal counts as a time-out.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Vec<(Token, EventFlags)>> {
        let timeout =
            timeout.map(|t| Timespec { tv_sec: t.as_secs() as i64, tv_nsec: t.subsec_nanos().into() });
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(self.events.iter().filter_map(|event| Some((Token::decode(event.data)?, event.flags))).collect())
    }
}

impl Token {
    fn encode(self) -> EventData {
        let (kind, number) = match self {
            Token::Zone => (0, 0),
            Token::Udp(at) => (1, at as u64),
            Token::Listener(at) => (2, at as u64),
            Token::Connection(serial) => (3, serial),
            Token::Exchange(serial) => (4, serial),
        };
        EventData::new_u64(number << 3 | kind)
    }

    fn decode(data: EventData) -> Option<Self> {
        let number = data.u64() >> 3;
        match data.u64() & 7 {
            0 => Some(Token::Zone),
            1 => Some(Token::Udp(usize::try_from(number).ok()?)),
            2 => Some(Token::Listener(usize::try_from(number).ok()?)),
            3 => Some(Token::Connection(number)),
            4 => Some(Token::Exchange(number)),
            _ => None,
        }
    }
}
