//! Reads the logs that keepers write: for the agent, in its own process, from the files alone.
//!
//! A keeper may be writing, rolling over or dead meanwhile. Readers never wait and take no lock: when
//! there is nothing more *now*, they say so, and [`Watch`] tells when to ask again.

mod bytes;
mod lines;
mod merge;
mod times;
mod watch;

#[cfg(test)]
mod tests;

pub use bytes::{Bytes, Start};
pub use merge::{Query, Reader};
pub use watch::Watch;

use crate::segments::Stream;

/// Something a log has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Line(Line),
    /// Bytes that were thrown away, as the disk was full for too long.
    Gap {
        stream: Stream,
        /// Around when, in nanoseconds since 1970.
        wall_ns: i64,
        lost: u64,
    },
    /// What comes from here on was written by run number `attempt`.
    Run {
        stream: Stream,
        /// When it was started, in nanoseconds since 1970.
        wall_ns: i64,
        attempt: u64,
    },
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub stream: Stream,
    /// When its end came, in nanoseconds since 1970. Lines of both streams sort by it.
    pub wall_ns: i64,
    /// Without the line feed.
    pub text: Vec<u8>,
    /// Whether the line feed was there. A line without is the last of a run, or a part of a very long one.
    pub ended: bool,
    /// Whether the next line of this stream is the rest of this one.
    pub continues: bool,
}

impl Entry {
    /// When it came, in nanoseconds since 1970.
    pub fn wall_ns(&self) -> i64 {
        match self {
            Entry::Line(line) => line.wall_ns,
            Entry::Gap { wall_ns, .. } | Entry::Run { wall_ns, .. } => *wall_ns,
        }
    }

    /// The stream it is about.
    pub fn stream(&self) -> Stream {
        match self {
            Entry::Line(line) => line.stream,
            Entry::Gap { stream, .. } | Entry::Run { stream, .. } => *stream,
        }
    }
}
