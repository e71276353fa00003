//! The end of every list: what the process is, from session to execve.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::Process;
use rustix::process::Gid;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::{Launcher, Plan, c_string, enter, limits};
use crate::launch::{PrepareError, Shortfall};
use crate::op::{
    Ambient, Announce, AppArmor, Become, Bounding, Capabilities, CloseDescriptors, ConnectStdio, Execute,
    Gate, LeadSession, NoNewPrivileges, Op, ResetSignals, Seccomp, StayAsInit, StringArray, TakeTerminal,
    Umask,
};
use crate::seccomp::Filter;
use crate::sys::{Anonymous, CommandLine};
use crate::{capabilities, defaults};

/// What a process is given besides its specification.
#[derive(Debug)]
pub(crate) struct ProcessParts {
    pub(crate) stdio: [OwnedFd; 3],
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) executable: Option<PathBuf>,
    pub(crate) init: bool,
    /// Which system calls it may make; none: all.
    pub(crate) seccomp: Option<Arc<Filter>>,
    pub(crate) shortfall: Shortfall,
}

pub(super) fn plan(
    plan: &mut Plan,
    process: &Process,
    parts: ProcessParts,
    launcher: &Launcher,
) -> Result<(), PrepareError> {
    let has_terminal = parts.terminal.is_some();
    let size = process.console_size().map(|size| (size.height() as u16, size.width() as u16));
    plan.push(LeadSession);
    plan.ops.extend(parts.terminal.map(|terminal| TakeTerminal { terminal, size }.into()));
    enter(plan, process.cwd())?;
    plan.push(ConnectStdio { stdio: parts.stdio, uid: process.user().uid() });
    plan.push(CloseDescriptors);
    plan.push(ResetSignals { ignored: launcher.ignored_signals });
    // After the last open: a low nofile would hit us. Before the user: raising needs a capability.
    limits::resource_limits(plan, process, parts.shortfall, launcher)?;
    plan.push(Umask(process.user().umask().unwrap_or(0o022)));
    let gains = process.no_new_privileges() != Some(true);
    // A filter also holds for what is left of the launch, so it comes as late as can be: where privileges may be
    // gained, while CAP_SYS_ADMIN is still there to install it.
    let filter = parts.seccomp.map(|filter| Seccomp { filter, privileged: gains });
    let (early, late) = if gains { (filter, None) } else { (None, filter) };
    credentials(plan, process, parts.shortfall, early, launcher)?;
    // As late as can be, and before the copy that is to be the program: one process waits, not two.
    plan.push(Gate);
    if parts.init {
        // The init is as confined as the program.
        plan.ops.extend(late.map(Op::from));
        let (command_line, memory) = (CommandLine::own(), Anonymous::own());
        plan.push(StayAsInit { terminal: has_terminal, command_line, memory });
        plan.push(Announce);
    } else {
        plan.push(Announce);
        plan.ops.extend(late.map(Op::from));
    }
    plan.push(program(process, parts.executable)?);
    Ok(())
}

/// The confinement that an AppArmor profile gives, where one is named.
pub(super) fn apparmor(plan: &mut Plan, process: &Process, launcher: &Launcher) -> Result<(), PrepareError> {
    let Some(profile) = process.apparmor_profile().as_ref().filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    // Not to be confined is what a process is without asking.
    if profile == "unconfined" {
        return Ok(());
    }
    if !launcher.apparmor {
        return Err(PrepareError::Lacking {
            what: format!(
                "the AppArmor profile {profile} can't confine anything: this kernel has no AppArmor"
            ),
        });
    }
    let order = c_string("process.apparmorProfile", format!("exec {profile}").as_bytes())?;
    plan.push(AppArmor { order });
    Ok(())
}

fn credentials(
    plan: &mut Plan,
    process: &Process,
    shortfall: Shortfall,
    filter: Option<Seccomp>,
    launcher: &Launcher,
) -> Result<(), PrepareError> {
    let user = process.user();
    // Without the field, none: what is not asked for is not given.
    let wanted = process.capabilities().clone().unwrap_or_else(capabilities::none);
    let set = |oci: &Option<_>| capabilities::set(oci.as_ref());
    let permitted = grantable(plan, set(wanted.permitted()), shortfall, launcher)?;
    let bounding = set(wanted.bounding());
    let inheritable = set(wanted.inheritable()) & launcher.permitted;
    let ambient = set(wanted.ambient()) & permitted & inheritable;
    let groups = user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid)).collect();
    plan.push(Bounding { keep: bounding & launcher.bounding, drop: launcher.bounding - bounding });
    plan.push(Become { uid: user.uid(), gid: user.gid(), groups });
    plan.ops.extend(filter.map(Op::from));
    let effective = set(wanted.effective()) & permitted;
    plan.push(Capabilities(CapabilitySets { effective, permitted, inheritable }));
    plan.push(Ambient(ambient));
    if process.no_new_privileges() == Some(true) {
        plan.push(NoNewPrivileges);
    }
    Ok(())
}

/// What of the wanted capabilities the caller has to give.
fn grantable(
    plan: &mut Plan,
    wanted: CapabilitySet,
    shortfall: Shortfall,
    launcher: &Launcher,
) -> Result<CapabilitySet, PrepareError> {
    let missing = wanted - launcher.permitted;
    if !missing.is_empty() {
        let names = capabilities::text(missing);
        plan.lack(shortfall, format!("can't give capabilities that this process does not have: {names}"))?;
    }
    Ok(wanted & launcher.permitted)
}

fn program(process: &Process, executable: Option<PathBuf>) -> Result<Execute, PrepareError> {
    let strings = |field: &str, strings: &Option<Vec<String>>| -> Result<Vec<CString>, PrepareError> {
        strings.iter().flatten().map(|string| c_string(field, string.as_bytes())).collect()
    };
    let name = process.args().iter().flatten().next();
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| PrepareError::invalid("process.args", "names no program"))?;
    let paths = match executable {
        Some(path) => vec![path],
        None if name.contains('/') => vec![PathBuf::from(name)],
        None => search(process, name),
    };
    let candidates = paths.iter().map(|path| c_string("process.args", path.as_os_str().as_bytes()));
    Ok(Execute {
        candidates: candidates.collect::<Result<_, _>>()?,
        argv: StringArray::new(strings("process.args", process.args())?),
        envp: StringArray::new(strings("process.env", process.env())?),
    })
}

/// The name in each directory of the process's own PATH; an empty one is the working directory.
fn search(process: &Process, name: &str) -> Vec<PathBuf> {
    let path = process.env().iter().flatten().rev().find_map(|variable| variable.strip_prefix("PATH="));
    let directories = path.unwrap_or(defaults::PATH).split(':');
    directories
        .map(|directory| Path::new(if directory.is_empty() { "." } else { directory }).join(name))
        .collect()
}
