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

use oci_spec::runtime::{LinuxNamespaceType, LinuxSeccomp, Spec};
use rustix::io::fcntl_dupfd_cloexec;

use crate::op::{Console, Op, new_tree};
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
    /// The file system that the terminal is of, when it is the container's own ([`devpts`]).
    pub devpts: Option<OwnedFd>,
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
    let devpts = input.devpts.map(above_stdio).transpose()?;
    let console = terminal.as_ref().map(|terminal| console(terminal, devpts.is_some())).transpose()?;
    let process = ProcessParts {
        stdio: stdio(input.stdio)?,
        terminal,
        executable: input.executable,
        init: input.init,
        seccomp: filter(input.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()))?,
        shortfall: input.shortfall,
    };
    let parts = Parts { namespaces, cgroups: joins, cgroup_view, console, devpts, process };
    let Plan { ops, warnings } = plan::launch(&input.spec, parts, launcher)?;
    Ok(Launch { ops, warnings, root: Some(above_stdio(input.rootfs)?), pid, birth, mark: None })
}

/// The filter of system calls that a profile comes to.
pub(crate) fn filter(profile: Option<&LinuxSeccomp>) -> Result<Option<Arc<Filter>>, PrepareError> {
    Ok(profile.map(seccomp::filter).transpose()?)
}

/// The terminal that becomes `/dev/console`. One of the host's is cloned here: in the child the mount it belongs to would
/// be another namespace's.
fn console(terminal: &OwnedFd, is_own: bool) -> Result<Console, PrepareError> {
    if is_own {
        let copy = fcntl_dupfd_cloexec(terminal, 3).map_err(PrepareError::Descriptor)?;
        return Ok(Console::Own(copy));
    }
    let tree = Console::clone_of(terminal.as_fd()).map_err(PrepareError::Terminal)?;
    Ok(Console::Cloned(above_stdio(tree)?))
}

/// Makes the file system of terminals that a specification has at `/dev/pts`, as a detached mount: a terminal that is
/// opened in it has a name inside the container. Nothing where the specification has none; nor with a user namespace,
/// where it has to be made inside.
///
/// # Errors
///
/// When the specification can't be read, or the kernel doesn't make it.
pub fn devpts(spec: &Spec) -> Result<Option<OwnedFd>, PrepareError> {
    let namespaces = spec.linux().iter().filter_map(|linux| linux.namespaces().as_ref()).flatten();
    if namespaces.into_iter().any(|namespace| namespace.typ() == LinuxNamespaceType::User) {
        return Ok(None);
    }
    let Some(parameters) = plan::terminals(spec)? else { return Ok(None) };
    let made =
        new_tree(c"devpts", &parameters, 0).map_err(|failure| PrepareError::Terminal(failure.errno))?;
    Ok(Some(made))
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
