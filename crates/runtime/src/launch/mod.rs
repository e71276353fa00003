//! Turns a specification and its descriptors into a running process.

mod advice;
mod child;
mod error;
mod launching;
mod opening;
mod spawn;

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use oci_spec::runtime::{LinuxSeccomp, Spec};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::op::Op;
use crate::plan::{self, CgroupView, Namespaces, Parts, PidNamespace, Plan, ProcessParts};
use crate::seccomp::{self, Filter};

pub use crate::plan::Launcher;
pub use error::{LaunchError, PrepareError, SpawnError};
pub use launching::{Launching, Progress, Running};
pub(crate) use opening::{Cgroups, above_stdio, stdio};

/// A mount option of our own, of a bind: what is mounted is not the source but a path below it, which whoever can
/// write there may have filled with links; one that leads out is an error. The rest of the option is the path,
/// commas included.
pub const BENEATH: &str = "x-hoist.beneath=";

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

/// A launch made ready: nothing has happened yet. Prints as one line for each operation.
#[derive(Debug)]
pub struct Launch {
    /// Performed in this order by the child; the last one executes the program.
    ops: Vec<Op>,
    warnings: Vec<String>,
    /// The root that the operations work on, when it is made and not joined.
    root: Option<OwnedFd>,
    pid: PidNamespace,
    /// The control group that the child is born in (cgroup v2).
    birth: Option<(PathBuf, OwnedFd)>,
    mark: Option<OwnedFd>,
}

/// Checks the specification and lists what has to be done.
///
/// Opens what the specification names on the host, bind sources excepted: a slow network file system must
/// hold up the child only.
///
/// # Errors
///
/// When the specification is inconsistent or asks for what this runtime does not do; nothing was changed.
pub fn prepare(input: LaunchInput, launcher: &Launcher) -> Result<Launch, PrepareError> {
    plan::check_spec(&input.spec)?;
    let mut namespaces = Namespaces::open(&input.spec, input.netns.map(above_stdio).transpose()?)?;
    let pid = std::mem::replace(&mut namespaces.pid, PidNamespace::Callers);
    let own_cgroups = namespaces.has_own_cgroup();
    let mounts = &launcher.group_mounts;
    let cgroup_view = input.cgroups.iter().map(|group| CgroupView::of(group, mounts, own_cgroups)).collect();
    let Cgroups { birth, joins } = Cgroups::open(input.cgroups, mounts)?;
    let terminal = input.terminal.map(above_stdio).transpose()?;
    let console = terminal.as_ref().map(console).transpose()?;
    let process = ProcessParts {
        stdio: stdio(input.stdio)?,
        terminal,
        executable: input.executable,
        init: input.init,
        seccomp: filter(input.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()))?,
        shortfall: input.shortfall,
    };
    let parts = Parts { namespaces, cgroups: joins, cgroup_view, console, process };
    let Plan { ops, warnings } = plan::launch(&input.spec, parts, launcher)?;
    Ok(Launch { ops, warnings, root: Some(above_stdio(input.rootfs)?), pid, birth, mark: None })
}

/// The filter of system calls that a profile comes to.
pub(crate) fn filter(profile: Option<&LinuxSeccomp>) -> Result<Option<Arc<Filter>>, PrepareError> {
    Ok(profile.map(seccomp::filter).transpose()?)
}

/// The terminal as a detached mount, to become `/dev/console`. Made here, from the descriptor: in the child
/// the mount it belongs to would be another namespace's.
fn console(terminal: &OwnedFd) -> Result<OwnedFd, PrepareError> {
    let itself = OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::OPEN_TREE_CLONE;
    let tree = open_tree(terminal.as_fd(), c"", itself | OpenTreeFlags::OPEN_TREE_CLOEXEC);
    above_stdio(tree.map_err(PrepareError::Terminal)?)
}

impl Launch {
    /// An exec: the root and the namespaces are the container's.
    pub(crate) fn inside(plan: Plan, pid: OwnedFd, birth: Option<(PathBuf, OwnedFd)>) -> Self {
        let Plan { ops, warnings } = plan;
        Self { ops, warnings, root: None, pid: PidNamespace::Joined(pid), birth, mark: None }
    }

    /// What could not be granted in full, in words for the person who asked for it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Has the child empty a file, open for writing, once it has been released and before its program runs:
    /// whoever comes after a killed parent can tell by it which children have gone on.
    ///
    /// # Errors
    ///
    /// When the process has no room for another descriptor.
    pub fn mark(&mut self, file: OwnedFd) -> Result<(), PrepareError> {
        self.mark = Some(above_stdio(file)?);
        Ok(())
    }

    /// What the child will do, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }
}

impl fmt::Display for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pid = match self.pid {
            PidNamespace::New => "a new PID namespace",
            PidNamespace::Callers => "the caller's PID namespace",
            PidNamespace::Joined(_) => "a joined PID namespace",
        };
        write!(f, "clone into {pid}")?;
        if let Some((path, _)) = &self.birth {
            write!(f, " and cgroup {}", path.display())?;
        }
        self.ops.iter().try_for_each(|op| write!(f, "\n{op}"))?;
        self.warnings.iter().try_for_each(|warning| write!(f, "\nwarning: {warning}"))
    }
}
