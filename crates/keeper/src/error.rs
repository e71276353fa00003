//! Why a keeper does not run.

use std::io;
use std::path::PathBuf;

/// A keeper could not start, or had to end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// Another keeper holds the lock of the state folder.
    #[error("a keeper runs already on {state_dir}")]
    AlreadyRunning {
        /// The folder they would share.
        state_dir: PathBuf,
    },
    /// Something it needs can't be had; nothing was adopted.
    #[error("can't {doing}")]
    Start {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket can't be made.
    #[error("can't listen on {path}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Waiting for events failed, which it never should.
    #[error("can't wait for events")]
    Loop(#[source] io::Error),
}
