use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{Bytes, Entry, Query, Reader, Start, Watch};
use crate::clock::Ticker;
use crate::peek::Peek;
use crate::segments::{Filled, Limits, Stream, Writer, index_path, list, segment_path};

const SMALL: Limits = Limits { segment_bytes: 4096, segments: 3 };

/// A log that is written a piece at a time.
struct Log {
    writer: Writer,
    pipe: (OwnedFd, OwnedFd),
    ticker: Ticker,
    peek: Peek,
}

impl Log {
    fn open(dir: &Path, limits: Limits) -> Log {
        Log::of(dir, Stream::Stdout, limits)
    }

    fn of(dir: &Path, stream: Stream, limits: Limits) -> Log {
        Log {
            writer: Writer::open(dir, stream, limits).unwrap(),
            pipe: pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap(),
            ticker: Ticker::default(),
            peek: Peek::new().unwrap(),
        }
    }

    /// Writes and returns the time it got.
    fn write(&mut self, text: &str) -> i64 {
        let mut left = text.as_bytes();
        while !left.is_empty() {
            let written = rustix::io::write(&self.pipe.1, left).unwrap();
            left = &left[written..];
            while self.writer.fill(self.pipe.0.as_fd(), &mut self.ticker, &mut self.peek).unwrap()
                == Filled::More
            {}
        }
        std::thread::sleep(std::time::Duration::from_millis(2)); // so that the next one gets a time of its own
        self.writer.newest_ns()
    }
}

fn all(reader: &mut Reader) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        found.push(match entry {
            Entry::Line(line) => {
                String::from_utf8(line.text).unwrap() + if line.ended { "" } else { " (unended)" }
            }
            Entry::Gap { lost, .. } => format!("gap of {lost}"),
            Entry::Run { attempt, .. } => format!("run {attempt}"),
        });
    }
    found
}

fn read(dir: &Path, query: &Query) -> Vec<String> {
    all(&mut Reader::open(dir, query).unwrap())
}

fn numbered(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("line {number} {}", "x".repeat(number as usize % 50))).collect()
}

#[test]
fn lines_come_back_across_segments_each_of_which_ends_with_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { segments: 100, ..SMALL };
    let mut log = Log::open(dir.path(), limits);
    let lines = numbered(0..1000);
    log.write(&(lines.join("\n") + "\n"));
    assert_eq!(read(dir.path(), &Query::default()), lines);
    let segments = list(dir.path(), Stream::Stdout).unwrap();
    assert!(segments.len() > 5, "{segments:?}");
    for segment in &segments[..segments.len() - 1] {
        let bytes = fs::read(segment_path(dir.path(), Stream::Stdout, *segment)).unwrap();
        assert!(bytes.ends_with(b"\n") && bytes.len() < 4096 + 100, "{segment}: {}", bytes.len());
    }
    for tail in [0, 1, 7, 300, 999, 1000, 2000] {
        let wanted = lines[lines.len().saturating_sub(tail)..].to_vec();
        assert_eq!(read(dir.path(), &Query { tail: Some(tail), ..Query::default() }), wanted, "{tail}");
    }
}

#[test]
fn a_line_without_end_spans_segments_and_is_read_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Limits { segments: 100, ..SMALL });
    let long = "y".repeat(200_000);
    log.write(&format!("first\n{long}\nlast"));
    assert!(list(dir.path(), Stream::Stdout).unwrap().len() > 1);
    assert_eq!(read(dir.path(), &Query::default()), ["first", &long, "last (unended)"]);
}

#[test]
fn only_so_many_segments_are_kept_and_reading_starts_with_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), SMALL);
    let lines = numbered(0..1000);
    for line in &lines[..600] {
        rustix::io::write(&log.pipe.1, (line.clone() + "\n").as_bytes()).unwrap();
    }
    let mut bytes = Bytes::open(dir.path(), Stream::Stdout, Start::Oldest).unwrap();
    log.write("");
    log.write(&(lines[600..].join("\n") + "\n"));
    assert_eq!(list(dir.path(), Stream::Stdout).unwrap().len(), 3);
    assert!(!index_path(dir.path(), Stream::Stdout, 1).exists());
    let kept = read(dir.path(), &Query::default());
    assert_eq!(kept, lines[lines.len() - kept.len()..]);
    assert!(bytes.read(&mut [0; 100]).unwrap() > 0);
}

#[test]
fn a_reader_that_was_overtaken_goes_on_with_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), SMALL);
    log.write("one\n");
    let mut reader = Reader::open(dir.path(), &Query { follow: true, ..Query::default() }).unwrap();
    assert_eq!(all(&mut reader), ["one"]);
    log.write(&(numbered(0..2000).join("\n") + "\n"));
    let rest = all(&mut reader);
    assert_eq!(rest.last(), numbered(1999..2000).last());
    // What its open segment still had, then a hole, then whole lines.
    assert!(rest.iter().all(|line| numbered(0..2000).contains(line)), "{rest:?}");
}

#[test]
fn writing_continues_where_the_newest_segment_ends() {
    let dir = tempfile::tempdir().unwrap();
    Log::open(dir.path(), SMALL).write("begun ");
    Log::open(dir.path(), SMALL).write("and ended\n");
    assert_eq!(read(dir.path(), &Query::default()), ["begun and ended"]);
}

#[test]
fn both_streams_are_merged_in_the_order_they_came() {
    let dir = tempfile::tempdir().unwrap();
    let mut out = Log::of(dir.path(), Stream::Stdout, SMALL);
    let mut err = Log::of(dir.path(), Stream::Stderr, SMALL);
    out.write("1\n");
    let second = err.write("2\n");
    err.write("3\n");
    let fourth = out.write("4\n");
    out.write("5\n");
    assert_eq!(read(dir.path(), &Query::default()), ["1", "2", "3", "4", "5"]);
    assert_eq!(read(dir.path(), &Query { tail: Some(3), ..Query::default() }), ["3", "4", "5"]);
    let range = Query { since_ns: Some(second), until_ns: Some(fourth), ..Query::default() };
    assert_eq!(read(dir.path(), &range), ["2", "3", "4"]);
    assert_eq!(read(dir.path(), &Query { tail: Some(2), ..range }), ["3", "4"]);
    assert_eq!(read(dir.path(), &Query { streams: vec![Stream::Stderr], ..Query::default() }), ["2", "3"]);
}

#[test]
fn following_waits_for_the_end_of_a_line_and_finish_gives_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = Reader::open(dir.path(), &Query { follow: true, ..Query::default() }).unwrap();
    assert_eq!(all(&mut reader), [""; 0]);
    let mut log = Log::open(dir.path(), SMALL);
    log.write("who: ");
    assert_eq!(all(&mut reader), [""; 0]);
    log.write("me\nbye");
    assert_eq!(all(&mut reader), ["who: me"]);
    reader.finish();
    assert_eq!(all(&mut reader), ["bye (unended)"]);
}

#[test]
fn a_missing_short_or_torn_index_costs_times_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), SMALL);
    let first = log.write("1\n");
    log.write("2\n");
    let index = index_path(dir.path(), Stream::Stdout, 1);
    let bytes = fs::read(&index).unwrap();
    for kept in [32, 31, 16, 3, 0] {
        fs::write(&index, &bytes[..kept]).unwrap();
        assert_eq!(read(dir.path(), &Query::default()), ["1", "2"], "{kept}");
    }
    fs::write(&index, &bytes[..16]).unwrap();
    let mut reader = Reader::open(dir.path(), &Query::default()).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().wall_ns(), first);
    assert_eq!(reader.next().unwrap().unwrap().wall_ns(), first);
    fs::remove_file(&index).unwrap();
    assert_eq!(read(dir.path(), &Query::default()), ["1", "2"]);
}

#[test]
fn a_segment_emptied_by_a_person_is_written_on_without_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), SMALL);
    log.write("old and long\n");
    let path = segment_path(dir.path(), Stream::Stdout, 1);
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    log.write("new\n");
    assert_eq!(fs::read(&path).unwrap(), b"new\n");
    assert_eq!(read(dir.path(), &Query::default()), ["new"]);
}

#[test]
fn a_watch_wakes_when_the_log_grows() {
    let is_ready = |watch: &Watch| {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&now)).unwrap() > 0
    };
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), SMALL);
    let watch = Watch::new(dir.path()).unwrap();
    assert!(!is_ready(&watch));
    log.write("x\n");
    assert!(is_ready(&watch));
    watch.clear().unwrap();
    assert!(!is_ready(&watch));
}

#[test]
fn a_stream_has_no_files_before_its_first_byte_and_knows_its_run_then() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(&dir.path().join("log"), Limits::default());
    log.writer.begin_run(3, &mut log.ticker);
    let filled = log.writer.fill(log.pipe.0.as_fd(), &mut log.ticker, &mut log.peek);
    assert_eq!(filled, Ok(Filled::Drained));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    // As a keeper that comes after a killed one.
    log.writer = Writer::open(&dir.path().join("log"), Stream::Stdout, Limits::default()).unwrap();
    log.writer.go_on_with_run(3);
    log.write("first\n");
    assert_eq!(read(&dir.path().join("log"), &Query::default()), ["run 3", "first"]);
}

#[test]
fn a_run_begins_a_line_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Limits::default());
    let mut following = Reader::open(dir.path(), &Query { follow: true, ..Query::default() }).unwrap();
    log.writer.begin_run(1, &mut log.ticker);
    log.write("whole\nunfinished");
    assert_eq!(all(&mut following), ["run 1", "whole"]);
    log.writer.begin_run(2, &mut log.ticker);
    log.write("first of the next\nlast");
    let next = ["unfinished (unended)", "run 2", "first of the next"];
    assert_eq!(all(&mut following), next);
    assert_eq!(
        read(dir.path(), &Query::default()),
        [&["run 1", "whole"], &next[..], &["last (unended)"]].concat()
    );
    let tail = Query { tail: Some(3), ..Query::default() };
    assert_eq!(read(dir.path(), &tail), ["unfinished (unended)", "first of the next", "last (unended)"]);
    following.at_end_of_run(true);
    assert_eq!(all(&mut following), ["last (unended)"]);
    following.at_end_of_run(false);
    log.write(" and more\n");
    assert_eq!(all(&mut following), [" and more"]);
}

#[test]
fn parts_of_a_long_line_say_that_they_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Limits::default());
    log.write(&"x".repeat(600_000));
    log.write("\nshort\n");
    let mut reader = Reader::open(dir.path(), &Query::default()).unwrap();
    let mut parts = Vec::new();
    while let Some(Entry::Line(line)) = reader.next().unwrap() {
        parts.push((line.text.len(), line.ended, line.continues));
    }
    let long: usize = parts.iter().map(|(length, ..)| length).sum();
    assert_eq!(long, 600_005);
    let goes_on: Vec<bool> = parts.iter().map(|(.., continues)| *continues).collect();
    assert_eq!(goes_on.iter().filter(|more| !**more).count(), 2, "the end of either line: {parts:?}");
    assert!(parts.iter().all(|(_, ended, continues)| ended != continues), "{parts:?}");
}
