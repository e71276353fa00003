//! Fills a stream's segments from a pipe, and starts a new one when one is full.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use super::{IndexWriter, Limits, Record, Stream, index_path, list, segment_path};
use crate::clock::Ticker;
use crate::peek::Peek;

/// How many bytes one [`Writer::fill`] moves at most, so that one loud container doesn't starve the others.
const TURN_BYTES: u64 = 1 << 20;
/// Less is not worth a file.
const SMALLEST_SEGMENT: u64 = 4 << 10;
/// How far a segment may grow beyond its limit while a line doesn't end.
const OVERHANG_BYTES: u64 = 64 << 10;

/// What a turn of filling came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// The pipe is empty.
    Drained,
    /// The turn is over, the pipe may have more.
    More,
}

/// A stream that is being written: its segments, if there are any yet.
///
/// The first segment comes with the first byte: many a container never writes to one of its streams, or to any.
#[derive(Debug)]
pub(crate) struct Writer {
    dir: PathBuf,
    stream: Stream,
    limits: Limits,
    /// The run that the first segment is to begin with.
    attempt: Option<u32>,
    end: Option<End>,
}

/// The segment that is written, where it ends.
#[derive(Debug)]
struct End {
    dir: PathBuf,
    stream: Stream,
    limits: Limits,
    number: u64,
    // Not opened with O_APPEND: splice refuses such files. The offset is always given, and is the size.
    file: File,
    size: u64,
    index: IndexWriter,
    /// The time last written to the index.
    stamped: i64,
}

impl Writer {
    /// Continues the newest segment in `dir` where it ends, if there is one.
    pub(crate) fn open(dir: &Path, stream: Stream, limits: Limits) -> io::Result<Writer> {
        let limits = Limits {
            segment_bytes: limits.segment_bytes.max(SMALLEST_SEGMENT),
            segments: limits.segments.max(1),
        };
        let open = |number: &u64| End::open(dir, stream, limits, *number);
        let end = list(dir, stream)?.last().map(open).transpose()?;
        Ok(Writer { dir: dir.to_owned(), stream, limits, attempt: None, end })
    }

    /// The newest time that the index knows, 0 when it knows none.
    pub(crate) fn newest_ns(&self) -> i64 {
        self.end.as_ref().map_or(0, |end| end.index.newest_ns())
    }

    /// Moves what is in `pipe` (which must not block) to the segments.
    ///
    /// # Errors
    ///
    /// What the file system said, most likely that it is full. Bytes not moved are still in the pipe.
    pub(crate) fn fill(
        &mut self,
        pipe: BorrowedFd<'_>,
        ticker: &mut Ticker,
        peek: &mut Peek,
    ) -> Result<Filled, Errno> {
        if self.end.is_none() && rustix::io::ioctl_fionread(pipe)? == 0 {
            return Ok(Filled::Drained);
        }
        self.end(ticker)?.fill(pipe, ticker, peek)
    }

    /// Writes down that what comes from here on is of run number `attempt`: a line that the run before left unfinished
    /// doesn't go on. Without room for it, it does.
    pub(crate) fn begin_run(&mut self, attempt: u32, ticker: &mut Ticker) {
        self.attempt = Some(attempt);
        if let Some(end) = &mut self.end {
            end.begin_run(attempt, ticker);
        }
    }

    /// What comes from here on is of run number `attempt`, of which there may be something already.
    pub(crate) fn go_on_with_run(&mut self, attempt: u32) {
        self.attempt = Some(attempt);
    }

    /// Writes down that `lost` bytes are missing at this point. False when even that found no room.
    #[must_use]
    pub(crate) fn note_gap(&mut self, lost: u64, ticker: &mut Ticker) -> bool {
        self.end(ticker).is_ok_and(|end| end.note_gap(lost))
    }

    /// The end of the segments, which begin with it if there are none.
    fn end(&mut self, ticker: &mut Ticker) -> Result<&mut End, Errno> {
        if self.end.is_none() {
            let made = || {
                DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
                End::open(&self.dir, self.stream, self.limits, 1)
            };
            let mut end = made().map_err(|error| errno(&error))?;
            if let Some(attempt) = self.attempt {
                end.begin_run(attempt, ticker);
            }
            self.end = Some(end);
        }
        self.end.as_mut().ok_or(Errno::IO)
    }
}

impl End {
    fn open(dir: &Path, stream: Stream, limits: Limits, number: u64) -> io::Result<End> {
        let (file, index) = open_segment(dir, stream, number)?;
        let size = file.metadata()?.len();
        Ok(End { dir: dir.to_owned(), stream, limits, number, file, size, index, stamped: 0 })
    }

    fn fill(&mut self, pipe: BorrowedFd<'_>, ticker: &mut Ticker, peek: &mut Peek) -> Result<Filled, Errno> {
        self.notice_cut()?;
        self.stamp(ticker);
        let mut budget = TURN_BYTES;
        while budget > 0 {
            let moved = match self.room() {
                0 => self.finish_line(pipe, ticker, peek),
                room => self.splice(pipe, room.min(budget)),
            };
            match moved {
                Ok(0) | Err(Errno::AGAIN) => return Ok(Filled::Drained),
                Ok(moved) => budget = budget.saturating_sub(moved),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Filled::More)
    }

    fn begin_run(&mut self, attempt: u32, ticker: &mut Ticker) {
        if self.notice_cut().is_ok() {
            // Before the time: a reader that stops here still has the time of what came before.
            let _ = self.index.append(Record::Run { offset: self.size, attempt: attempt.into() });
            self.stamped = 0;
            self.stamp(ticker);
        }
    }

    fn note_gap(&mut self, lost: u64) -> bool {
        self.notice_cut().is_ok() && self.index.append(Record::Gap { offset: self.size, lost })
    }

    fn room(&self) -> u64 {
        self.limits.segment_bytes.saturating_sub(self.size)
    }

    fn splice(&mut self, pipe: BorrowedFd<'_>, length: u64) -> Result<u64, Errno> {
        let mut offset = self.size;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let moved = splice(pipe, None, &self.file, Some(&mut offset), length, SpliceFlags::NONBLOCK)? as u64;
        self.size += moved;
        Ok(moved)
    }

    /// With a full segment: moves what is left of the line begun in it, then starts the next segment.
    fn finish_line(
        &mut self,
        pipe: BorrowedFd<'_>,
        ticker: &mut Ticker,
        peek: &mut Peek,
    ) -> Result<u64, Errno> {
        if !self.is_mid_line()? {
            self.roll(ticker)?;
            return self.splice(pipe, self.room());
        }
        let rest = peek.line(pipe)?;
        let moved = self.splice(pipe, rest as u64)?;
        if !self.is_mid_line()? || self.size >= self.limits.segment_bytes.saturating_add(OVERHANG_BYTES) {
            self.roll(ticker)?;
        }
        Ok(moved)
    }

    fn is_mid_line(&self) -> Result<bool, Errno> {
        let Some(last) = self.size.checked_sub(1) else { return Ok(false) };
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, last).map_err(|error| errno(&error))?;
        Ok(byte[0] != b'\n')
    }

    /// Starts the next segment, then removes what is too old. In this order a kill in between leaves one
    /// segment too many, which the next roll-over removes.
    fn roll(&mut self, ticker: &mut Ticker) -> Result<(), Errno> {
        let next = self.number + 1;
        let (file, index) = open_segment(&self.dir, self.stream, next).map_err(|error| errno(&error))?;
        (self.file, self.index, self.number, self.size, self.stamped) = (file, index, next, 0, 0);
        self.stamp(ticker);
        let kept = u64::from(self.limits.segments);
        for number in list(&self.dir, self.stream).unwrap_or_default() {
            if number + kept <= next {
                let _ = fs::remove_file(index_path(&self.dir, self.stream, number));
                let _ = fs::remove_file(segment_path(&self.dir, self.stream, number));
            }
        }
        Ok(())
    }

    /// Writes the time of the bytes to come, unless the last record says the same to a millisecond and
    /// nothing came on the other stream since.
    fn stamp(&mut self, ticker: &mut Ticker) {
        if self.stamped == 0 || !ticker.is_fresh(self.stamped) {
            self.stamped = ticker.tick();
            // A full disk costs the time of these bytes, no more: the index can be done without.
            let _ = self.index.append(Record::Time { offset: self.size, wall_ns: self.stamped });
        }
    }

    /// Someone may empty a log file to free space. We then write on at its new end, not behind a hole.
    fn notice_cut(&mut self) -> Result<(), Errno> {
        let size = self.file.metadata().map_err(|error| errno(&error))?.len();
        if size < self.size {
            self.index.clear();
            self.stamped = 0;
        }
        self.size = size;
        Ok(())
    }
}

fn open_segment(dir: &Path, stream: Stream, number: u64) -> io::Result<(File, IndexWriter)> {
    let path = segment_path(dir, stream, number);
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Ok((file, IndexWriter::open(&index_path(dir, stream, number))?))
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
