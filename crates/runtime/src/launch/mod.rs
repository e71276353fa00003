//! Turns a specification and its descriptors into a running process.

mod error;
mod launching;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::Spec;

pub use error::{LaunchError, PrepareError, SpawnError};
pub use launching::{Launching, Progress, Running};

/// Everything a launch needs. The descriptors may come from another process.
#[derive(Debug)]
pub struct LaunchInput {
    /// What to run. `root.path` is not looked at: the root is [`LaunchInput::rootfs`]. A namespace listed
    /// without a path is new, one with a path is joined, one not listed is the caller's own.
    pub spec: Spec,
    /// The root file system, as a detached mount ([`crate::rootfs::assemble`]).
    pub rootfs: OwnedFd,
    /// The network namespace to join, in place of the one the specification would make or name.
    pub netns: Option<OwnedFd>,
    /// Directories of the control groups to join: one on cgroup v2, one of each hierarchy on v1.
    pub cgroups: Vec<PathBuf>,
    /// Standard input, output and error. With a terminal these are normally three copies of it.
    pub stdio: [OwnedFd; 3],
    /// The pseudo terminal's slave: becomes the controlling terminal and `/dev/console`.
    pub terminal: Option<OwnedFd>,
    /// Where the program is inside the root, when the caller has looked it up already
    /// ([`crate::executable::find`]). Without it, `PATH` of the process's environment is searched.
    pub executable: Option<PathBuf>,
    /// Whether a small reaping, signal-forwarding process is PID 1 in place of the program.
    pub init: bool,
    /// What to do about privileges the caller itself lacks.
    pub shortfall: Shortfall,
}

/// What to do when the specification asks for more than the caller may give: a resource limit above the
/// caller's hard limit, a lower `oom_score_adj`, a capability the caller does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shortfall {
    /// Refuse to launch, as the OCI specification demands.
    #[default]
    Refuse,
    /// Give what can be given, and say so in [`Launch::warnings`].
    Warn,
}

/// A launch made ready: nothing has happened yet.
#[derive(Debug)]
pub struct Launch {
    warnings: Vec<String>,
}

/// Checks the specification and lists what has to be done.
///
/// # Errors
///
/// When the specification is inconsistent or asks for what this runtime does not do; nothing was changed.
pub fn prepare(input: LaunchInput) -> Result<Launch, PrepareError> {
    drop(input);
    Err(PrepareError::Unsupported { what: "launch".to_owned() })
}

impl Launch {
    /// What could not be granted in full, in words for the person who asked for it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Clones the child and returns at once; the child walks the operations.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the clone. What the child meets is told by [`Launching::poll`].
    pub fn spawn(self) -> Result<Launching, SpawnError> {
        Err(SpawnError::Clone(rustix::io::Errno::NOSYS))
    }
}
