//! What a build needs from whoever can mount and run: the store has no runtime of its own.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use hoist_model::RunSettings;

use crate::builder::graph::{Network, Security};

/// Layers below a directory that takes what is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Read-only, the topmost first; at least one.
    pub lower: Vec<PathBuf>,
    pub upper: PathBuf,
    /// Empty, on the file system of `upper`, for overlayfs's own use.
    pub work: PathBuf,
}

/// Where a root's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    Overlay(Overlay),
    /// Without layers below.
    Directory(PathBuf),
}

/// Something mounted while a command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Absolute, inside.
    pub target: PathBuf,
    pub source: BoundSource,
    pub readonly: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundSource {
    /// A file, folder or socket of this host.
    Path(PathBuf),
    /// What is at `path` of a tree. What is written is thrown away.
    Tree {
        root: Root,
        path: PathBuf,
    },
    Tmpfs {
        size: Option<u64>,
    },
    /// A file that must never reach a disk.
    Secret {
        content: Vec<u8>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// A socket of this host, under another owner and mode.
    Socket {
        path: PathBuf,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub root: Root,
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// As USER has it; root when none.
    pub user: Option<String>,
    pub working_dir: String,
    pub mounts: Vec<Bound>,
    pub network: Network,
    pub security: Security,
    pub settings: RunSettings,
    /// An empty folder for the runner's own use while the command runs, below the build's.
    pub scratch: PathBuf,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Status(i32),
    Signal(i32),
}

/// Hears what a command writes, and says whether it shall go on.
pub trait Listener: Sync {
    fn output(&self, bytes: &[u8]);

    /// Asked often.
    fn is_cancelled(&self) -> bool;
}

/// Mounts and runs.
pub trait Runner: Sync {
    /// Mounts an overlay, to be seen through the descriptor alone.
    fn mount(&self, overlay: &Overlay) -> io::Result<OwnedFd>;

    /// Runs a command to its end. Whatever it left running ends with it.
    fn run(&self, job: &Job, listener: &dyn Listener) -> Result<Ended, Box<dyn Error + Send + Sync>>;
}
