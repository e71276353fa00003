//! Bytes between descriptors and channels. By readiness, never by a thread: what a program leaves running in the
//! background may hold its streams open for as long as it likes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use hoist_wire::{ApiError, ExecOutput};
use rustix::io::ioctl_fionbio;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

const CHUNK: usize = 16 << 10;

/// Reads until the other end is closed. A terminal whose last process has gone says EIO (tty_ioctl(4)): an end too.
pub(crate) async fn read(
    fd: OwnedFd,
    sink: mpsc::Sender<Result<ExecOutput, ApiError>>,
    wrap: fn(Bytes) -> ExecOutput,
) {
    // A terminal is read as a pipe is.
    let reader = unblocked(fd).and_then(pipe::Receiver::from_owned_fd_unchecked);
    let Ok(mut reader) = reader else { return };
    let mut buffer = vec![0; CHUNK];
    while let Ok(n @ 1..) = reader.read(&mut buffer).await {
        if sink.send(Ok(wrap(Bytes::copy_from_slice(&buffer[..n])))).await.is_err() {
            return;
        }
    }
}

/// Writes until the channel is closed, then closes the descriptor.
pub(crate) async fn write(fd: OwnedFd, mut source: mpsc::Receiver<Bytes>) {
    let Ok(mut writer) = unblocked(fd).and_then(pipe::Sender::from_owned_fd_unchecked) else { return };
    while let Some(bytes) = source.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Calls on it don't wait from here on. The program doesn't notice: the other end of a pipe and a terminal's slave are
/// descriptions of their own, and the master is shared with the keeper, which never waits.
fn unblocked(fd: OwnedFd) -> io::Result<OwnedFd> {
    ioctl_fionbio(fd.as_fd(), true)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[tokio::test]
    async fn bytes_go_through_and_the_end_is_seen() {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (sink, mut items) = mpsc::channel(4);
        let (bytes, source) = mpsc::channel(4);
        tokio::spawn(read(reading, sink, ExecOutput::Stdout));
        tokio::spawn(write(writing, source));
        // More than a pipe holds.
        bytes.send(Bytes::from(vec![7; 1 << 20])).await.unwrap();
        drop(bytes);
        let mut total = 0;
        while let Some(Ok(ExecOutput::Stdout(bytes))) = items.recv().await {
            total += bytes.len();
        }
        assert_eq!(total, 1 << 20);
    }

    #[tokio::test]
    async fn streams_that_stay_open_take_no_thread() {
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let before = threads();
        let mut open = Vec::new();
        for _ in 0..300 {
            let (reading, writing) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            let (sink, items) = mpsc::channel(1);
            open.push((writing, items, tokio::spawn(read(reading, sink, ExecOutput::Stdout))));
        }
        tokio::task::yield_now().await;
        assert_eq!(threads(), before);
        open.iter().for_each(|(_, _, reader)| reader.abort());
    }
}
