//! epoll and timers, by tokens: small names of what an event is about.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use crate::clock::boot_ns;

/// What an event or a timer is about. Ids are never given twice, so a stale token means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Token {
    Signals,
    Listener,
    /// The agent has ended, or is due to be started again.
    Agent,
    Peer(u32),
    /// A launch under way.
    Launch(u32),
    /// An instance's process.
    Process(u32),
    /// One of an instance's outputs, by its place.
    Output(u32, u8),
    Terminal(u32),
    /// A process run inside an instance: being launched, or running.
    Exec(u32),
    /// The process that holds output pipes has room, has ended, or is due to be started.
    Holder,
}

impl Token {
    fn encode(self) -> u64 {
        let (kind, id) = match self {
            Token::Signals => (0, 0),
            Token::Listener => (1, 0),
            Token::Agent => (2, 0),
            Token::Peer(id) => (3, id),
            Token::Launch(id) => (4, id),
            Token::Process(id) => (5, id),
            Token::Terminal(id) => (6, id),
            Token::Exec(id) => (7, id),
            Token::Holder => (8, 0),
            Token::Output(id, place) => (9 + u64::from(place), id),
        };
        kind << 32 | u64::from(id)
    }

    fn decode(code: u64) -> Token {
        let id = (code & u64::from(u32::MAX)) as u32;
        match code >> 32 {
            0 => Token::Signals,
            1 => Token::Listener,
            2 => Token::Agent,
            3 => Token::Peer(id),
            4 => Token::Launch(id),
            5 => Token::Process(id),
            6 => Token::Terminal(id),
            7 => Token::Exec(id),
            8 => Token::Holder,
            kind => Token::Output(id, (kind - 9) as u8),
        }
    }
}

/// What to wait for.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: std::os::fd::OwnedFd,
    timers: BTreeSet<(u64, Token)>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        Ok(Poller { epoll: epoll::create(CreateFlags::CLOEXEC)?, timers: BTreeSet::new() })
    }

    /// Wakes when `fd` is readable, from now on; it may have been watched before.
    pub(crate) fn watch(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        self.set(fd, token, EventFlags::IN)
    }

    /// As [`Poller::watch`], and also when `fd` is writable.
    pub(crate) fn watch_both(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        self.set(fd, token, EventFlags::IN | EventFlags::OUT)
    }

    fn set(&self, fd: BorrowedFd<'_>, token: Token, flags: EventFlags) -> io::Result<()> {
        let data = EventData::new_u64(token.encode());
        match epoll::add(&self.epoll, fd, data, flags) {
            Err(Errno::EXIST) => Ok(epoll::modify(&self.epoll, fd, data, flags)?),
            added => Ok(added?),
        }
    }

    /// Watches `fd` no longer. Needed where a duplicate of it lives on elsewhere.
    pub(crate) fn unwatch(&self, fd: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Wakes at a boot time, once.
    pub(crate) fn wake_at(&mut self, boot_ns: u64, token: Token) {
        self.timers.insert((boot_ns, token));
    }

    /// Waits, and tells what has happened. Timers come after descriptors.
    pub(crate) fn wait(&mut self) -> io::Result<Vec<Token>> {
        let mut events = Vec::with_capacity(64);
        let timeout = self.timers.first().map(|(at, _)| timespec(at.saturating_sub(boot_ns())));
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut tokens: Vec<Token> = events.iter().map(|event| Token::decode(event.data.u64())).collect();
        let now = boot_ns();
        while let Some((_, token)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.pop_first();
            tokens.push(token);
        }
        Ok(tokens)
    }
}

fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / 1_000_000_000).cast_signed(), tv_nsec: (ns % 1_000_000_000).cast_signed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        let all = [
            Token::Signals,
            Token::Listener,
            Token::Agent,
            Token::Peer(u32::MAX),
            Token::Launch(1),
            Token::Process(2),
            Token::Output(3, 0),
            Token::Output(3, 1),
            Token::Terminal(4),
            Token::Exec(5),
            Token::Holder,
        ];
        assert_eq!(all.map(|token| Token::decode(token.encode())), all);
    }

    #[test]
    fn timers_come_in_their_order_and_once() {
        let mut poller = Poller::new().unwrap();
        let now = boot_ns();
        poller.wake_at(now + 2_000_000, Token::Peer(2));
        poller.wake_at(now + 1_000_000, Token::Peer(1));
        let mut woken = Vec::new();
        while woken.len() < 2 {
            woken.extend(poller.wait().unwrap());
        }
        assert_eq!(woken, [Token::Peer(1), Token::Peer(2)]);
        assert!(boot_ns() >= now + 2_000_000);
    }
}
