//! The name server's process, by a lock that it holds for as long as it runs: when agent and keeper were killed
//! together, nobody else remembers it, and the sockets that it has can't be bound again.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::io::Errno;
use rustix::process::{
    Flock, FlockOffsetType, FlockType, Pid, PidfdFlags, Signal, fcntl_getlk, pidfd_open, pidfd_send_signal,
};

use crate::layout::Layout;
use crate::processes::readable::Readable;

/// One that was just started may have the lock, and not have written who it is.
const LOOKS: u32 = 5;
const LOOK: Duration = Duration::from_millis(10);
/// A process that was killed ends soon, or the machine has other troubles.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes the lock for this process, which is dns; nothing when another one runs.
///
/// # Errors
/// When the file can't be written.
pub fn hold(layout: &Layout) -> io::Result<Option<File>> {
    let mut lock = open(layout)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        taken => taken?,
    }
    // A lock of this kind says whose it is without a byte on the disk, which may be full (F_GETLK in fcntl(2)). What is
    // written is for people, and for agents before this was so.
    fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    let _ =
        lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| write!(lock, "{}", std::process::id()));
    Ok(Some(lock))
}

fn open(layout: &Layout) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(layout.dns_lock())
}

/// The dns that runs on this root, if there is one.
pub(crate) fn running(layout: &Layout) -> Option<OwnedFd> {
    for _ in 0..LOOKS {
        let mut lock = open(layout).ok()?;
        if !is_held(&lock) {
            return None;
        }
        let pid = owner(&mut lock);
        let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // While it holds the lock, its number is nobody else's.
        if let Some(pidfd) = pidfd.filter(|_| is_held(&lock)) {
            return Some(pidfd);
        }
        std::thread::sleep(LOOK);
    }
    None
}

/// The process that says it has the lock.
fn owner(lock: &mut File) -> Option<Pid> {
    let wanted = Flock {
        start: 0,
        length: 0,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    if let Ok(Some(held)) = fcntl_getlk(&*lock, &wanted) {
        return held.pid;
    }
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    Pid::from_raw(text.parse().ok()?)
}

fn is_held(lock: &File) -> bool {
    match flock(lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let _ = flock(lock, FlockOperation::Unlock);
            false
        }
        Err(_) => true,
    }
}

/// Ends the dns that runs, with the sockets that it has.
pub(crate) async fn end(layout: &Layout) {
    let Some(pidfd) = running(layout) else { return };
    let _ = pidfd_send_signal(pidfd.as_fd(), Signal::KILL);
    if let Ok(pidfd) = Readable::new(pidfd) {
        let _ = tokio::time::timeout(PATIENCE, pidfd.wait()).await;
    }
}
