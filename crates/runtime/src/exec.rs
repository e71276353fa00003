//! Runs a further process inside a running container.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::Process;

use crate::launch::{Launch, PrepareError, Shortfall};

/// Everything needed to run a process inside a running container.
#[derive(Debug)]
pub struct ExecInput {
    /// A process of the container, by rule its first: its namespaces and its root are joined.
    pub container: OwnedFd,
    /// What to run, as the specification's `process`.
    pub process: Process,
    /// Directories of the control groups to join, as in [`crate::launch::LaunchInput`].
    pub cgroups: Vec<PathBuf>,
    /// Standard input, output and error.
    pub stdio: [OwnedFd; 3],
    /// The pseudo terminal's slave: becomes the controlling terminal.
    pub terminal: Option<OwnedFd>,
    /// What to do about privileges the caller itself lacks.
    pub shortfall: Shortfall,
}

/// Lists what has to be done; [`Launch::spawn`] then makes the process, a child of the caller.
///
/// # Errors
///
/// As [`crate::launch::prepare`].
pub fn prepare(input: ExecInput) -> Result<Launch, PrepareError> {
    drop(input);
    Err(PrepareError::Unsupported { what: "exec".to_owned() })
}
