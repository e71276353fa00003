//! One keeper a state folder.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use crate::error::KeeperError;

/// Takes the lock, or says that another keeper has it.
///
/// A lock of fcntl(2), not of flock(2): it is the process's, not the descriptor's. So a child that is
/// still being launched when the keeper is killed doesn't keep it, and an upgrade in place does.
pub(crate) fn acquire(state_dir: &Path) -> Result<OwnedFd, KeeperError> {
    let open = || -> io::Result<OwnedFd> {
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
        let path = state_dir.join("keeper.lock");
        Ok(OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?.into())
    };
    let file = open().map_err(|source| KeeperError::Start { doing: "open its lock", source })?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::AGAIN | Errno::ACCESS) => {
            Err(KeeperError::AlreadyRunning { state_dir: state_dir.to_owned() })
        }
        Err(error) => Err(KeeperError::Start { doing: "take its lock", source: error.into() }),
    }
}
