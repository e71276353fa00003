use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};
use rustix::pipe::{PipeFlags, pipe_with};

use super::*;
use crate::reader::{Entry, Query, Reader};
use crate::segments::{Limits, Stream};
use crate::stdio::WindowSize;
use crate::stdio::terminal::Terminal;

/// A file system of 128 KiB that is mounted nowhere and goes away with its descriptor.
fn small_disk() -> (OwnedFd, PathBuf) {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    fsconfig_set_string(&context, "size", "128k").unwrap();
    fsconfig_create(&context).unwrap();
    let disk = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap();
    let path = format!("/proc/self/fd/{}", disk.as_raw_fd()).into();
    (disk, path)
}

fn write_some(pipe: &OwnedFd, lines: usize) {
    for _ in 0..lines {
        rustix::io::write(pipe, b"0123456789abcde\n").unwrap();
    }
}

#[test]
fn a_full_disk_stalls_then_drops_and_the_gap_is_written_down() {
    let (_disk, path) = small_disk();
    let dir = path.join("log");
    let writer = Writer::open(&dir, Stream::Stdout, Limits::default()).unwrap();
    fs::write(path.join("ballast"), vec![0; 100 << 10]).unwrap();
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
    let mut pump = Pump::new(read, Some(writer));
    let mut ticker = Ticker::default();
    let mut plumbing = Plumbing::new(Policy { patience_ns: 50_000_000, retry_ns: 1_000_000 }).unwrap();

    write_some(&write, 2048);
    let stalled = loop {
        match pump.turn(&mut ticker, &mut plumbing) {
            Turn::More => {}
            turn => break turn,
        }
    };
    assert!(matches!(stalled, Turn::NotBefore(_)), "{stalled:?}");
    assert_eq!(pump.take_news(), Some(LogState::Stalled { errno: Errno::NOSPC.raw_os_error() }));

    while pump.turn(&mut ticker, &mut plumbing) != Turn::Drained {}
    assert_eq!(pump.take_news(), Some(LogState::Dropping));

    File::create(path.join("ballast")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    write_some(&write, 1);
    while pump.turn(&mut ticker, &mut plumbing) != Turn::Drained {}
    let Some(LogState::Resumed { lost }) = pump.take_news() else { panic!("not resumed") };

    let mut reader = Reader::open(&dir, &Query::default()).unwrap();
    let mut bytes = 0;
    let mut missing = 0;
    while let Some(entry) = reader.next().unwrap() {
        match entry {
            Entry::Line(line) => bytes += line.text.len() as u64 + u64::from(line.ended),
            Entry::Gap { lost, .. } => missing += lost,
            Entry::Run { .. } => panic!("no run was begun"),
        }
    }
    assert!(lost > 0);
    assert_eq!((missing, bytes + missing), (lost, 2049 * 16));
}

#[test]
fn waiting_ends_without_loss_when_there_is_room_again_in_time() {
    let (_disk, path) = small_disk();
    let dir = path.join("log");
    let writer = Writer::open(&dir, Stream::Stdout, Limits::default()).unwrap();
    fs::write(path.join("ballast"), vec![0; 100 << 10]).unwrap();
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
    let mut pump = Pump::new(read, Some(writer));
    let mut ticker = Ticker::default();
    let mut plumbing = Plumbing::new(Policy { patience_ns: 60_000_000_000, retry_ns: 1_000_000 }).unwrap();
    write_some(&write, 2048);
    while !matches!(pump.turn(&mut ticker, &mut plumbing), Turn::NotBefore(_)) {}
    File::create(path.join("ballast")).unwrap();
    while pump.turn(&mut ticker, &mut plumbing) != Turn::Drained {}
    assert_eq!(fs::metadata(dir.join("stdout.00000001.log")).unwrap().len(), 2048 * 16);
    pump.take_news();
    assert_eq!(pump.take_news(), None);
}

#[test]
fn a_terminals_output_goes_to_the_segments() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path(), Stream::Stdout, Limits::default()).unwrap();
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
    // A pipe has two ends where a FIFO opened both ways has one.
    let terminal = Terminal::make(WindowSize { rows: 24, columns: 80 }).unwrap();
    let slave = terminal.slave_for(0).unwrap();
    let mut pump = Pump::new(read, Some(writer));
    let mut plumbing = Plumbing::new(Policy { patience_ns: 0, retry_ns: 0 }).unwrap();
    let mut ticker = Ticker::default();
    for _ in 0..5000 {
        rustix::io::write(&slave, b"0123456789\n").unwrap();
        while matches!(terminal.relay(write.as_fd()), Ok(1..)) {}
        while pump.turn(&mut ticker, &mut plumbing) != Turn::Drained {}
    }
    let text = fs::read(dir.path().join("stdout.00000001.log")).unwrap();
    assert_eq!(text, b"0123456789\r\n".repeat(5000));
}
