//! Bytes between descriptors and channels.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use bytes::Bytes;
use hoist_wire::{ApiError, ExecOutput};
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
        while let Ok(n) = file.read(&mut buffer) {
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
            if file.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    let _ = writing.await;
}
