//! What a keeper is told when it is started.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::stdio::pump::Policy;

/// Where a keeper works and how. All paths are absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder with its records and its lock. It is made when absent.
    pub state_dir: PathBuf,
    /// The socket it listens on, by rule beside the state folder.
    pub socket: PathBuf,
    /// The command line that starts the agent again when it dies; empty for never.
    pub respawn: Vec<OsString>,
    /// The command line of the process that holds output pipes open beside the keeper, which is this same program by
    /// another name and with other arguments ([`crate::hold`]); empty for none.
    pub holder: Vec<OsString>,
    /// `cgroup.procs` files to move itself to: a group that outlives the agent's. One that can't be written
    /// is a note in the diary.
    pub cgroup_procs: Vec<PathBuf>,
    /// Where notes go beside the agent, and what would go to standard error.
    pub diary: Option<PathBuf>,
    /// Whether to run from a view of the program's file that can't be written through, see `CVE-2019-5736`.
    /// Where the kernel can't, that is a note in the diary.
    pub seal: bool,
    /// How long a container waits while its log can't be written, before bytes are thrown away.
    pub log_patience: Duration,
}

impl Config {
    /// A keeper with the defaults.
    pub fn new(state_dir: impl Into<PathBuf>, socket: impl Into<PathBuf>) -> Config {
        Config {
            state_dir: state_dir.into(),
            socket: socket.into(),
            respawn: Vec::new(),
            holder: Vec::new(),
            cgroup_procs: Vec::new(),
            diary: None,
            seal: true,
            log_patience: Duration::from_secs(30),
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        let patience_ns = u64::try_from(self.log_patience.as_nanos()).unwrap_or(u64::MAX);
        Policy { patience_ns, retry_ns: 500_000_000 }
    }
}
