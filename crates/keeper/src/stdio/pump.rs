//! Drains one output into its segments, and decides what to do while the disk is full.
//!
//! First the pump stops, and the container waits for its pipe, for [`Policy::patience_ns`]. Then it throws
//! bytes away, counts them, tries the disk again from time to time, and writes down how many are missing.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use serde::{Deserialize, Serialize};

use super::terminal::Terminal;
use crate::clock::{Ticker, boot_ns};
use crate::peek::Peek;
use crate::segments::{Filled, Writer};

/// How many bytes one turn throws away at most.
const TURN_BYTES: usize = 1 << 20;

/// What all pumps of a keeper share.
#[derive(Debug)]
pub(crate) struct Plumbing {
    pub(crate) peek: Peek,
    null: OwnedFd,
    pub(crate) policy: Policy,
}

/// What to do while a segment can't be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// How long a container waits before its bytes are thrown away, in nanoseconds.
    pub(crate) patience_ns: u64,
    /// How long until the disk is tried again, in nanoseconds.
    pub(crate) retry_ns: u64,
}

impl Plumbing {
    pub(crate) fn new(policy: Policy) -> io::Result<Plumbing> {
        let null = OpenOptions::new().write(true).open("/dev/null")?;
        Ok(Plumbing { peek: Peek::new()?, null: null.into(), policy })
    }
}

/// What has become of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogState {
    /// Segments can't be written, so the container waits when its pipe is full.
    Stalled {
        /// What the file system said, as an errno.
        errno: i32,
    },
    /// It has waited long enough: bytes are being thrown away.
    Dropping,
    /// Segments can be written again.
    Resumed {
        /// How many bytes are missing.
        lost: u64,
    },
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing is left in the pipe.
    Drained,
    /// Take another turn.
    More,
    /// Take no turn before this boot time, even though the pipe is readable.
    NotBefore(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    Stalled {
        since: u64,
        retry_at: u64,
    },
    /// `lost` is not written down yet, `total` counts all.
    Dropping {
        lost: u64,
        total: u64,
        retry_at: u64,
    },
}

/// One output being drained.
#[derive(Debug)]
pub(crate) struct Pump {
    pipe: OwnedFd,
    /// Absent when no log is wanted.
    writer: Option<Writer>,
    flow: Flow,
    news: Option<LogState>,
}

impl Pump {
    pub(crate) fn new(pipe: OwnedFd, writer: Option<Writer>) -> Pump {
        Pump { pipe, writer, flow: Flow::Open, news: None }
    }

    pub(crate) fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// What comes from here on is of another run.
    pub(crate) fn begin_run(&mut self, attempt: u32, ticker: &mut Ticker) {
        if let Some(writer) = &mut self.writer {
            writer.begin_run(attempt, ticker);
        }
    }

    /// What comes from here on is of this run, which the log knows of if it has anything of it.
    pub(crate) fn go_on_with_run(&mut self, attempt: u32) {
        if let Some(writer) = &mut self.writer {
            writer.go_on_with_run(attempt);
        }
    }

    /// What has changed since it was last asked.
    pub(crate) fn take_news(&mut self) -> Option<LogState> {
        self.news.take()
    }

    /// [`Pump::turn`] for a terminal: its output goes through the pipe.
    pub(crate) fn relay_turn(
        &mut self,
        terminal: &Terminal,
        ticker: &mut Ticker,
        plumbing: &mut Plumbing,
    ) -> Turn {
        let relayed = terminal.relay(self.pipe.as_fd());
        match self.turn(ticker, plumbing) {
            Turn::Drained if matches!(relayed, Ok(1..)) => Turn::More,
            turn => turn,
        }
    }

    /// Moves some of what is in the pipe.
    pub(crate) fn turn(&mut self, ticker: &mut Ticker, plumbing: &mut Plumbing) -> Turn {
        let now = boot_ns();
        let Some(writer) = self.writer.as_mut() else {
            return throw_away(self.pipe.as_fd(), plumbing).0;
        };
        let due = match self.flow {
            Flow::Open => true,
            Flow::Stalled { retry_at, .. } if now < retry_at => return Turn::NotBefore(retry_at),
            Flow::Stalled { .. } => true,
            // Writing the gap down is the trial: it needs room on the same disk.
            Flow::Dropping { lost, total, retry_at } => {
                let noted = now >= retry_at && writer.note_gap(lost, ticker);
                self.flow = Flow::Dropping { lost: if noted { 0 } else { lost }, total, retry_at };
                noted
            }
        };
        if !due {
            return self.drop_some(now, plumbing);
        }
        match writer.fill(self.pipe.as_fd(), ticker, &mut plumbing.peek) {
            Ok(filled) => self.flowing(filled),
            Err(errno) => self.blocked(now, errno, plumbing),
        }
    }

    fn flowing(&mut self, filled: Filled) -> Turn {
        match self.flow {
            Flow::Open => {}
            Flow::Stalled { .. } => self.news = Some(LogState::Resumed { lost: 0 }),
            Flow::Dropping { total, .. } => self.news = Some(LogState::Resumed { lost: total }),
        }
        self.flow = Flow::Open;
        match filled {
            Filled::Drained => Turn::Drained,
            Filled::More => Turn::More,
        }
    }

    fn blocked(&mut self, now: u64, errno: Errno, plumbing: &mut Plumbing) -> Turn {
        let retry_at = now + plumbing.policy.retry_ns;
        let since = match self.flow {
            Flow::Open => {
                self.news = Some(LogState::Stalled { errno: errno.raw_os_error() });
                now
            }
            Flow::Stalled { since, .. } => since,
            Flow::Dropping { .. } => return self.drop_some(now, plumbing),
        };
        if now.saturating_sub(since) < plumbing.policy.patience_ns {
            self.flow = Flow::Stalled { since, retry_at };
            return Turn::NotBefore(retry_at);
        }
        self.news = Some(LogState::Dropping);
        self.flow = Flow::Dropping { lost: 0, total: 0, retry_at };
        self.drop_some(now, plumbing)
    }

    fn drop_some(&mut self, now: u64, plumbing: &mut Plumbing) -> Turn {
        let (turn, thrown) = throw_away(self.pipe.as_fd(), plumbing);
        if let Flow::Dropping { lost, total, retry_at } = &mut self.flow {
            *lost += thrown;
            *total += thrown;
            if now >= *retry_at {
                *retry_at = now + plumbing.policy.retry_ns;
            }
        }
        turn
    }
}

fn throw_away(pipe: BorrowedFd<'_>, plumbing: &Plumbing) -> (Turn, u64) {
    match splice(pipe, None, &plumbing.null, None, TURN_BYTES, SpliceFlags::NONBLOCK) {
        Ok(0) | Err(_) => (Turn::Drained, 0),
        Ok(thrown) => (Turn::More, thrown as u64),
    }
}

#[cfg(test)]
mod tests;
