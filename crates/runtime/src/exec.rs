//! Runs a further process inside a running container.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::{LinuxSeccomp, Process};
use rustix::io::fcntl_dupfd_cloexec;

use crate::launch::{self, Cgroups, Launch, PrepareError, Shortfall, above_stdio};
use crate::plan::{self, Launcher, ProcessParts};

/// Everything needed to run a process inside a running container.
#[derive(Debug)]
pub struct ExecInput {
    /// The pidfd of a process of the container, by rule its first: its namespaces and root are joined.
    pub container: OwnedFd,
    /// What to run, as the specification's `process`.
    pub process: Process,
    /// Directories of the control groups to join, as in [`crate::launch::LaunchInput`].
    pub cgroups: Vec<PathBuf>,
    /// Standard input, output and error.
    pub stdio: [OwnedFd; 3],
    /// The pseudo terminal's slave: becomes the controlling terminal.
    pub terminal: Option<OwnedFd>,
    /// Which system calls it may make, as the specification's `linux.seccomp`: a container's own filter doesn't
    /// reach what joins it. None: all.
    pub seccomp: Option<LinuxSeccomp>,
    /// Whether a small process stays above it that everything it leaves behind belongs to, and that reaps it, until the
    /// program has ended: the container's first process may be none that reaps.
    pub init: bool,
    /// What to do about privileges the caller itself lacks.
    pub shortfall: Shortfall,
}

/// Lists what has to be done; [`Launch::spawn`] then makes the process, a child of the caller, in the
/// container's PID namespace from its first moment on.
///
/// # Errors
///
/// As [`crate::launch::prepare`].
pub fn prepare(input: ExecInput, launcher: &Launcher) -> Result<Launch, PrepareError> {
    plan::check_process(&input.process)?;
    let Cgroups { birth, joins } = Cgroups::open(input.cgroups, &launcher.group_mounts)?;
    let container = above_stdio(input.container)?;
    let pid = fcntl_dupfd_cloexec(container.as_fd(), 3).map_err(PrepareError::Descriptor)?;
    let parts = ProcessParts {
        stdio: launch::stdio(input.stdio)?,
        terminal: input.terminal.map(above_stdio).transpose()?,
        executable: None,
        seccomp: launch::filter(input.seccomp.as_ref())?,
        init: input.init,
        shortfall: input.shortfall,
    };
    let plan = plan::exec(&input.process, container, joins, parts, launcher)?;
    Ok(Launch::inside(plan, pid, birth))
}
