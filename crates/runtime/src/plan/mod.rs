//! From the OCI specification to the list of operations.
//!
//! Pure: what has to be asked of the host or opened comes in as [`Launcher`] and as descriptors. The order of
//! the list is decided here and nowhere else; each ordering that matters gives its reason.

mod cgroups;
mod check;
mod devices;
mod launcher;
mod limits;
mod mounts;
mod namespaces;
mod options;
mod process;
mod sysctl;

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use oci_spec::runtime::Spec;

use crate::launch::{PrepareError, Shortfall};
use crate::op::{
    AttachRoot, ChangeDirectory, Conceal, Console, Cover, Directory, Domainname, Hostname, IsolateMounts,
    JoinCgroup, JoinProcess, Keyring, Mask, Op, PivotRoot, ReadOnlyPath, ReadOnlyRoot, Unshare,
};

pub(crate) use cgroups::CgroupView;
pub(crate) use check::{check_process, check_spec};
pub use launcher::Launcher;
pub(crate) use mounts::terminals;
pub(crate) use namespaces::{Namespaces, PidNamespace};
pub(crate) use process::ProcessParts;

/// What a plan is made of, besides the specification.
pub(crate) struct Parts {
    pub(crate) namespaces: Namespaces,
    /// The control groups that must be joined by writing; one joined by the clone is not among them.
    pub(crate) cgroups: Vec<JoinCgroup>,
    /// What `/sys/fs/cgroup` shows.
    pub(crate) cgroup_view: Vec<CgroupView>,
    /// The terminal to be `/dev/console`.
    pub(crate) console: Option<Console>,
    /// The file system of terminals, when it is made already.
    pub(crate) devpts: Option<OwnedFd>,
    pub(crate) process: ProcessParts,
}

/// The operations, and what could not be granted in full.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) ops: Vec<Op>,
    pub(crate) warnings: Vec<String>,
}

impl Plan {
    fn push(&mut self, op: impl Into<Op>) {
        self.ops.push(op.into());
    }

    /// Says that something can't be granted: an error or a warning, as the caller chose.
    fn lack(&mut self, shortfall: Shortfall, what: String) -> Result<(), PrepareError> {
        match shortfall {
            Shortfall::Refuse => Err(PrepareError::Lacking { what }),
            Shortfall::Warn => {
                self.warnings.push(what);
                Ok(())
            }
        }
    }
}

/// Plans the first process of a container.
pub(crate) fn launch(spec: &Spec, parts: Parts, launcher: &Launcher) -> Result<Plan, PrepareError> {
    let mut plan = Plan::default();
    let process = spec.process().as_ref().ok_or_else(|| PrepareError::invalid("process", "is missing"))?;
    let shortfall = parts.process.shortfall;
    plan.push(Conceal);
    process::apparmor(&mut plan, process, launcher)?;
    join(&mut plan, spec, parts.cgroups, parts.namespaces)?;
    // While the host's /proc is there: the image's may be missing or no procfs.
    limits::oom_score_adj(&mut plan, process, shortfall, launcher)?;
    let mut mounted = Plan::default();
    mounts::Mounts::new(&parts.cgroup_view, parts.console, parts.devpts).plan(&mut mounted, spec)?;
    plan.ops.extend(mounts::sources(&mounted.ops));
    plan.push(IsolateMounts);
    plan.push(AttachRoot);
    plan.ops.extend(mounted.ops);
    plan.push(Directory { path: c_path("process.cwd", process.cwd())? });
    restrict(&mut plan, spec)?;
    plan.push(PivotRoot);
    process::plan(&mut plan, process, parts.process, launcher)?;
    Ok(plan)
}

/// Plans a further process of a running container.
pub(crate) fn exec(
    process: &oci_spec::runtime::Process,
    container: OwnedFd,
    cgroups: Vec<JoinCgroup>,
    parts: ProcessParts,
    launcher: &Launcher,
) -> Result<Plan, PrepareError> {
    let mut plan = Plan::default();
    plan.push(Conceal);
    process::apparmor(&mut plan, process, launcher)?;
    // Before the namespaces: afterwards the host's cgroup files and /proc are out of sight.
    plan.ops.extend(cgroups.into_iter().map(Op::from));
    limits::oom_score_adj(&mut plan, process, parts.shortfall, launcher)?;
    plan.push(Keyring);
    plan.push(JoinProcess { pidfd: container });
    process::plan(&mut plan, process, parts, launcher)?;
    Ok(plan)
}

/// Control groups first, so that a new cgroup namespace has them as its root; then namespaces that exist,
/// then new ones, then what is set in them.
fn join(
    plan: &mut Plan,
    spec: &Spec,
    cgroups: Vec<JoinCgroup>,
    namespaces: Namespaces,
) -> Result<(), PrepareError> {
    let sysctls = sysctl::plan(spec, &namespaces)?;
    let private_uts = namespaces.has_own_uts();
    plan.ops.extend(cgroups.into_iter().map(Op::from));
    plan.ops.extend(namespaces.joins.into_iter().map(Op::from));
    plan.push(Unshare { namespaces: namespaces.unshare });
    plan.push(Keyring);
    let names = [("hostname", spec.hostname()), ("domainname", spec.domainname())];
    for (field, name) in names {
        let Some(name) = name.clone().filter(|name| !name.is_empty()) else { continue };
        if !private_uts {
            return Err(PrepareError::invalid(field, "needs a UTS namespace of the container's own"));
        }
        plan.push(if field == "hostname" { Op::from(Hostname(name)) } else { Domainname(name).into() });
    }
    plan.ops.extend(sysctls.into_iter().map(Op::from));
    Ok(())
}

/// What is taken away from the finished tree. The root last: mount targets are created in it until then.
fn restrict(plan: &mut Plan, spec: &Spec) -> Result<(), PrepareError> {
    let cover = Cover::new();
    if let Some(linux) = spec.linux() {
        for path in linux.readonly_paths().iter().flatten() {
            plan.push(ReadOnlyPath { path: c_path("linux.readonlyPaths", Path::new(path))? });
        }
        for path in linux.masked_paths().iter().flatten() {
            let path = c_path("linux.maskedPaths", Path::new(path))?;
            plan.push(Mask { path, cover: Arc::clone(&cover) });
        }
    }
    if spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly) == Some(true) {
        plan.push(ReadOnlyRoot);
    }
    Ok(())
}

/// Enters the working directory, which [`launch`] has created and an exec expects.
fn enter(plan: &mut Plan, cwd: &Path) -> Result<(), PrepareError> {
    plan.push(ChangeDirectory { path: c_path("process.cwd", cwd)? });
    Ok(())
}

/// An absolute path of the root for the kernel.
fn c_path(field: &str, path: &Path) -> Result<CString, PrepareError> {
    if !path.is_absolute() {
        return Err(PrepareError::invalid(field, format!("{} is not absolute", path.display())));
    }
    c_string(field, path.as_os_str().as_bytes())
}

fn c_string(field: &str, bytes: &[u8]) -> Result<CString, PrepareError> {
    CString::new(bytes).map_err(|_| PrepareError::invalid(field, "contains a NUL byte"))
}
