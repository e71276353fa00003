//! Log streams on disk: numbered segment files of raw bytes, each with an index of times beside it.
//!
//! A segment, `stdout.00000001.log`, is exactly what the container wrote: `splice(2)` appends to it in the
//! kernel, so that its size is the commit point and a `SIGKILL` at any instant neither loses nor doubles a
//! byte. The index, `stdout.00000001.idx`, is derived: fixed-size records of which time the bytes from an
//! offset on came at, and of what was lost to a full disk. It may be short, torn or missing; readers then
//! know less about times and as much about bytes.
//!
//! Owns: the format, writing ([`Writer`]) and listing. Reading is [`crate::reader`]'s.

mod index;
mod names;
mod writer;

use serde::{Deserialize, Serialize};

pub(crate) use index::{IndexWriter, RECORD_BYTES, Record};
pub(crate) use names::{index_path, list, segment_path};
pub(crate) use writer::{Filled, Writer};

/// One of the two streams of a container. A terminal has only [`Stream::Stdout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// Both, in the order they are numbered.
    pub const ALL: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

    /// The name of the FIFO and the first part of the names of its segments.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// How much of a stream is kept. Applies to each stream by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// A segment that has grown to this many bytes is closed after the line it is in. It may be longer by
    /// one line, and by 64 KiB when a line doesn't end.
    pub segment_bytes: u64,
    /// How many segments are kept, the one being written included. At least 1.
    pub segments: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { segment_bytes: 16 << 20, segments: 5 }
    }
}
