//! Bytes between descriptors and channels.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use bytes::Bytes;
use hoist_wire::{ApiError, ExecOutput};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::mpsc;

const CHUNK: usize = 16 << 10;

/// Reads until the other end is closed. A terminal whose last process has gone says EIO (tty_ioctl(4)): an end too.
///
/// On a thread of its own: pipes and terminals of other processes may not be switched to non-blocking, as that would
/// show on their side.
pub(crate) async fn read(
    fd: OwnedFd,
    sink: mpsc::Sender<Result<ExecOutput, ApiError>>,
    wrap: fn(Bytes) -> ExecOutput,
) {
    let reading = tokio::task::spawn_blocking(move || {
        let mut file = File::from(fd);
        let mut buffer = vec![0; CHUNK];
        while let Ok(n) = patiently(&mut file, PollFlags::IN, |file| file.read(&mut buffer)) {
            if n == 0 || sink.blocking_send(Ok(wrap(Bytes::copy_from_slice(&buffer[..n])))).is_err() {
                return;
            }
        }
    });
    let _ = reading.await;
}

/// Writes until the channel is closed, then closes the descriptor.
pub(crate) async fn write(fd: OwnedFd, mut source: mpsc::Receiver<Bytes>) {
    let writing = tokio::task::spawn_blocking(move || {
        let mut file = File::from(fd);
        while let Some(bytes) = source.blocking_recv() {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                match patiently(&mut file, PollFlags::OUT, |file| file.write(rest)) {
                    Ok(n) if n > 0 => rest = &rest[n..],
                    _ => return,
                }
            }
        }
    });
    let _ = writing.await;
}

/// Does it, waiting where it would block: a terminal's master is shared with the keeper, which never waits.
fn patiently(
    file: &mut File,
    ready: PollFlags,
    mut work: impl FnMut(&mut File) -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match work(file) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // A hang-up wakes it too; the next try then says so.
                let _ = poll(&mut [PollFd::new(&*file, ready)], None);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
