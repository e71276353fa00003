//! Which time a segment's index has for an offset, asked in ascending order.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::segments::{RECORD_BYTES, Record, Stream, index_path};

const BUFFER_RECORDS: usize = 256;
const RECORD: usize = RECORD_BYTES as usize;

/// A walk through one index, which may be growing, short or missing.
#[derive(Debug)]
pub(super) struct Times {
    path: PathBuf,
    file: Option<File>,
    /// Where in the index `buffer` ends.
    read_to: u64,
    buffer: Vec<u8>,
    used: usize,
    /// The time of the last record passed.
    now: i64,
    gaps: Vec<u64>,
    runs: Vec<u64>,
}

impl Times {
    /// `before` is the time to assume for bytes that the index says nothing of.
    pub(super) fn open(dir: &Path, stream: Stream, segment: u64, before: i64) -> Times {
        Times {
            path: index_path(dir, stream, segment),
            file: None,
            read_to: 0,
            buffer: Vec::new(),
            used: 0,
            now: before,
            gaps: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// When the byte at `last` came. Where another run begins behind the byte at `first`, that is told, with the time
    /// of what came before it.
    pub(super) fn at(&mut self, first: u64, last: u64) -> io::Result<(i64, Option<u64>)> {
        while let Some(record) = self.peek()? {
            match record {
                Some(Record::Run { offset, .. }) if offset > first && offset <= last => {
                    return Ok((self.now, Some(offset)));
                }
                Some(Record::Run { offset, attempt }) if offset == first => self.runs.push(attempt),
                Some(Record::Run { offset, .. }) if offset < first => {}
                Some(Record::Time { offset: from, wall_ns }) if from <= last => self.now = wall_ns,
                Some(Record::Gap { offset: from, lost }) if from <= last => self.gaps.push(lost),
                Some(_) => break,
                None => {} // a kind of record that only later versions know
            }
            self.used += RECORD;
        }
        Ok((self.now, None))
    }

    /// The runs that began since this was last asked.
    pub(super) fn take_runs(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.runs)
    }

    /// The gaps passed since this was last asked.
    pub(super) fn take_gaps(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.gaps)
    }

    fn peek(&mut self) -> io::Result<Option<Option<Record>>> {
        if self.used == self.buffer.len() && !self.refill()? {
            return Ok(None);
        }
        let record = self.buffer[self.used..].first_chunk::<RECORD>();
        Ok(record.map(|bytes| Record::decode(*bytes)))
    }

    fn refill(&mut self) -> io::Result<bool> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &self.file else { return Ok(false) };
        self.buffer.resize(BUFFER_RECORDS * RECORD, 0);
        let read = file.read_at(&mut self.buffer, self.read_to)?;
        // A torn record is left for later: it is being written, or will be cut off.
        self.buffer.truncate(read - read % RECORD);
        self.read_to += self.buffer.len() as u64;
        self.used = 0;
        Ok(!self.buffer.is_empty())
    }
}

/// The first time that the index of a segment has.
pub(super) fn first_time(dir: &Path, stream: Stream, segment: u64) -> Option<i64> {
    let mut bytes = [0; RECORD];
    File::open(index_path(dir, stream, segment)).ok()?.read_exact_at(&mut bytes, 0).ok()?;
    match Record::decode(bytes)? {
        Record::Time { wall_ns, .. } => Some(wall_ns),
        Record::Gap { .. } | Record::Run { .. } => None,
    }
}
