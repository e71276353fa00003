//! A stream's bytes as lines with times, and where to start for the last so many of them.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::bytes::{Bytes, Start};
use super::times::{Times, first_time};
use super::{Entry, Line};
use crate::segments::{Stream, list, segment_path};

const CHUNK: usize = 64 << 10;
/// A longer line comes in parts.
const LONGEST_LINE: usize = 256 << 10;

/// Reads one stream line by line.
#[derive(Debug)]
pub(super) struct Lines {
    dir: PathBuf,
    stream: Stream,
    bytes: Bytes,
    times: Times,
    timed_segment: u64,
    chunk: Vec<u8>,
    used: usize,
    /// The offset of `chunk` in its segment.
    chunk_offset: u64,
    /// The beginning of a line whose end has not been read yet, and when its last part came.
    partial: Vec<u8>,
    partial_ns: i64,
    ready: VecDeque<Entry>,
}

impl Lines {
    pub(super) fn open(dir: &Path, stream: Stream, start: Start) -> io::Result<Lines> {
        Ok(Lines {
            dir: dir.to_owned(),
            stream,
            bytes: Bytes::open(dir, stream, start)?,
            times: Times::open(dir, stream, 0, 0),
            timed_segment: 0,
            chunk: Vec::new(),
            used: 0,
            chunk_offset: 0,
            partial: Vec::new(),
            partial_ns: 0,
            ready: VecDeque::new(),
        })
    }

    /// The next line or gap; `None` when there is no whole line now.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            if self.used == self.chunk.len() && !self.read_chunk()? {
                return Ok(None);
            }
            let rest = &self.chunk[self.used..];
            let feed = rest.iter().position(|byte| *byte == b'\n');
            let taken = feed.map_or(rest.len(), |feed| feed + 1);
            let first = self.chunk_offset + self.used as u64;
            let (wall_ns, run) = self.times.at(first, first + taken as u64 - 1)?;
            self.pass_marks(wall_ns);
            // What follows is another run's: the line ends here without a line feed.
            let cut = run.map(|at| usize::try_from(at - first).unwrap_or(taken));
            let (text, taken) = (cut.or(feed).unwrap_or(taken), cut.unwrap_or(taken));
            self.partial.extend_from_slice(&self.chunk[self.used..self.used + text]);
            self.used += taken;
            self.partial_ns = wall_ns;
            let ended = cut.is_none() && feed.is_some();
            if ended || self.partial.len() >= LONGEST_LINE {
                self.push_line(ended, !ended);
            }
        }
    }

    /// Gaps and beginnings of runs that lie before the bytes read last.
    fn pass_marks(&mut self, wall_ns: i64) {
        for attempt in self.times.take_runs() {
            self.flush();
            self.ready.push_back(Entry::Run { stream: self.stream, wall_ns, attempt });
        }
        for lost in self.times.take_gaps() {
            self.ready.push_back(Entry::Gap { stream: self.stream, wall_ns, lost });
        }
    }

    fn flush(&mut self) {
        if !self.partial.is_empty() {
            self.push_line(false, false);
        }
    }

    /// The beginning of a line that will not go on.
    pub(super) fn finish(&mut self) -> Option<Entry> {
        self.flush();
        self.ready.pop_front()
    }

    fn push_line(&mut self, ended: bool, continues: bool) {
        let text = std::mem::take(&mut self.partial);
        let line = Line { stream: self.stream, wall_ns: self.partial_ns, text, ended, continues };
        self.ready.push_back(Entry::Line(line));
    }

    fn read_chunk(&mut self) -> io::Result<bool> {
        self.chunk.resize(CHUNK, 0);
        let read = self.bytes.read(&mut self.chunk);
        self.chunk.truncate(*read.as_ref().unwrap_or(&0));
        self.used = 0;
        let read = read? as u64;
        let (segment, end) = self.bytes.position();
        self.chunk_offset = end - read;
        if read > 0 && segment != self.timed_segment {
            if segment > self.timed_segment + 1 && !self.partial.is_empty() {
                self.flush(); // The segment it went on in was removed before we got there.
            }
            self.times = Times::open(&self.dir, self.stream, segment, self.partial_ns);
            self.timed_segment = segment;
        }
        Ok(read > 0)
    }
}

/// Where the last `count` lines of a stream start.
pub(super) fn tail_start(dir: &Path, stream: Stream, count: usize) -> io::Result<Start> {
    if count == 0 {
        return Ok(Start::Newest);
    }
    let mut wanted = count;
    let mut at_end = true;
    for segment in list(dir, stream)?.into_iter().rev() {
        let file = match File::open(segment_path(dir, stream, segment)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut end = file.metadata()?.len();
        let mut block = vec![0; CHUNK];
        while end > 0 {
            let start = end.saturating_sub(CHUNK as u64);
            let block = &mut block[..usize::try_from(end - start).unwrap_or(CHUNK)];
            file.read_exact_at(block, start)?;
            // The line feed at the very end closes the last line, it doesn't open one more.
            let seen = if at_end && block.ends_with(b"\n") { block.len() - 1 } else { block.len() };
            at_end = false;
            for at in (0..seen).rev().filter(|at| block[*at] == b'\n') {
                wanted -= 1;
                if wanted == 0 {
                    return Ok(Start::At { segment, offset: start + at as u64 + 1 });
                }
            }
            end = start;
        }
    }
    Ok(Start::Oldest)
}

/// A start before everything that came at `since` or later, as late as is cheap to tell: the segment.
pub(super) fn since_start(dir: &Path, stream: Stream, since: i64) -> io::Result<Start> {
    let segments = list(dir, stream)?;
    let earlier = |segment: &&u64| first_time(dir, stream, **segment).is_some_and(|first| first < since);
    match segments.iter().rev().find(earlier) {
        Some(&segment) => Ok(Start::At { segment, offset: 0 }),
        None => Ok(Start::Oldest),
    }
}
