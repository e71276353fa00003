//! Both streams of an instance as one sequence, by time, and the part of it that is asked for.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use super::Entry;
use super::bytes::Start;
use super::lines::{Lines, since_start, tail_start};
use crate::segments::Stream;

/// Which part of a log is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The streams to read.
    pub streams: Vec<Stream>,
    /// Only so many of the last lines that are there now.
    pub tail: Option<usize>,
    /// Nothing that came before, in nanoseconds since 1970.
    pub since_ns: Option<i64>,
    /// Nothing that came after, in nanoseconds since 1970.
    pub until_ns: Option<i64>,
    /// Whether more may come, until [`Reader::finish`]. Otherwise the log ends where it ends now.
    pub follow: bool,
}

impl Default for Query {
    fn default() -> Query {
        Query { streams: Stream::ALL.to_vec(), tail: None, since_ns: None, until_ns: None, follow: false }
    }
}

/// Reads the log of one instance.
#[derive(Debug)]
pub struct Reader {
    sources: Vec<Source>,
    since_ns: i64,
    until_ns: i64,
    ended: bool,
    /// The tail, read in advance to know where it starts.
    tail: VecDeque<Entry>,
}

#[derive(Debug)]
struct Source {
    lines: Lines,
    head: Option<Entry>,
}

impl Reader {
    /// Opens the log in `dir`. The log need not exist yet.
    ///
    /// # Errors
    ///
    /// When the folder or a segment is there but can't be read.
    pub fn open(dir: &Path, query: &Query) -> io::Result<Reader> {
        let open = |stream: &Stream| {
            let lines = Lines::open(dir, *stream, start(dir, *stream, query)?)?;
            Ok(Source { lines, head: None })
        };
        let mut reader = Reader {
            sources: query.streams.iter().map(open).collect::<io::Result<_>>()?,
            since_ns: query.since_ns.unwrap_or(i64::MIN),
            until_ns: query.until_ns.unwrap_or(i64::MAX),
            ended: !query.follow,
            tail: VecDeque::new(),
        };
        if let Some(count) = query.tail {
            reader.read_tail(count)?;
        }
        Ok(reader)
    }

    /// The next entry by time; `None` when there is nothing more for now, or, after the end of the log,
    /// at all.
    ///
    /// # Errors
    ///
    /// When a segment can't be read.
    #[allow(clippy::should_implement_trait, reason = "not an iterator: more may come after None")]
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        match self.tail.pop_front() {
            Some(entry) => Ok(Some(entry)),
            None => self.next_wanted(),
        }
    }

    /// Says that nothing more will be written: a last line without a line feed comes out as well.
    pub fn finish(&mut self) {
        self.ended = true;
    }

    /// Says whether what is there is the end of a run: a last line without a line feed then comes out as well. More may
    /// come of another run.
    pub fn at_end_of_run(&mut self, ended: bool) {
        self.ended = ended;
    }

    fn next_wanted(&mut self) -> io::Result<Option<Entry>> {
        loop {
            self.fill_heads()?;
            // What has been written to one stream while we looked at the other: anything older than a
            // line we saw was there before it, so a second look finds it.
            self.fill_heads()?;
            let first = self
                .sources
                .iter_mut()
                .filter(|source| source.head.is_some())
                .min_by_key(|source| source.head.as_ref().map(Entry::wall_ns));
            let Some(source) = first else { return Ok(None) };
            if source.head.as_ref().is_some_and(|head| head.wall_ns() > self.until_ns) {
                return Ok(None);
            }
            match source.head.take() {
                Some(entry) if entry.wall_ns() >= self.since_ns => return Ok(Some(entry)),
                _ => {}
            }
        }
    }

    fn fill_heads(&mut self) -> io::Result<()> {
        for source in self.sources.iter_mut().filter(|source| source.head.is_none()) {
            source.head = source.lines.next()?;
            if source.head.is_none() && self.ended {
                source.head = source.lines.finish();
            }
        }
        Ok(())
    }

    fn read_tail(&mut self, count: usize) -> io::Result<()> {
        let mut tail = VecDeque::new();
        while let Some(entry) = self.next_wanted()? {
            if matches!(entry, Entry::Run { .. }) {
                continue;
            }
            if tail.len() == count {
                tail.pop_front();
            }
            if count > 0 {
                tail.push_back(entry);
            }
        }
        self.tail = tail;
        Ok(())
    }
}

fn start(dir: &Path, stream: Stream, query: &Query) -> io::Result<Start> {
    match query {
        // The last lines before a time are not the last lines there are.
        Query { tail: Some(count), until_ns: None, .. } => tail_start(dir, stream, *count),
        Query { since_ns: Some(since), .. } => since_start(dir, stream, *since),
        _ => Ok(Start::Oldest),
    }
}
