//! A run that the keeper has no record of is looked after again: its control group says that it runs, the agent's journal
//! as which start, the spec how it was launched. Where one of them is missing it is ended instead, by the loop.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use hoist_keeper::protocol::{LogSpec, Request, TakeUp};
use hoist_keeper::{Limits, StdioKind, StdioSpec, WindowSize};
use hoist_model::{InstanceUid, Service, Template};
use hoist_runtime::cgroup::Cgroup;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::host::Host;
use crate::instances::groups;
use crate::layout::InstanceLayout;

/// Which run it is: its number, and its first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) attempt: u32,
    pub(crate) pid: i32,
}

/// The standard streams of a service's instances, which belong to this user and group.
pub(crate) fn stdio(service: &Service, layout: &InstanceLayout, uid: u32, gid: u32) -> StdioSpec {
    let kind = if service.tty {
        StdioKind::Terminal(WindowSize { rows: 24, columns: 80 })
    } else {
        StdioKind::Pipes { stdin: service.stdin_open }
    };
    StdioSpec { dir: layout.run().to_owned(), uid, gid, kind }
}

/// Where their output is kept.
pub(crate) fn log(service: &Service, layout: &InstanceLayout) -> Option<LogSpec> {
    let defaults = Limits::default();
    let limits = Limits {
        segment_bytes: service.logs.max_size.unwrap_or(defaults.segment_bytes),
        segments: service.logs.max_files.unwrap_or(defaults.segments),
    };
    (!service.logs.disabled).then(|| LogSpec { dir: layout.log(), limits })
}

/// Has the keeper look after a run that it doesn't know. Says whether it does now.
pub(crate) async fn take_up(host: &Host, uid: InstanceUid, run: Run) -> bool {
    let known = host.known();
    let template = known.spec.instances.get(&uid).and_then(|spec| known.spec.templates.get(&spec.template));
    let Some(template) = template else { return false };
    match request(host, uid, run, template) {
        Ok(Some((request, pidfd))) => {
            let request = Request::TakeUp(Box::new(request));
            let taken = host.link.tell(request, vec![pidfd]).await;
            if let Err(error) = &taken {
                tracing::warn!(instance = %uid.short(), "{}", crate::chain::chain(error));
            }
            taken.is_ok()
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(instance = %uid.short(), "it runs without a keeper and can't be looked at: {error}");
            false
        }
    }
}

/// What the keeper has to know, and the process; nothing when it isn't the first one of its container.
fn request(
    host: &Host,
    uid: InstanceUid,
    run: Run,
    template: &Template,
) -> io::Result<Option<(TakeUp, OwnedFd)>> {
    let layout = host.layout.instance(&uid);
    let path = host.cgroup(uid);
    let Some(pid) = Pid::from_raw(run.pid) else { return Ok(None) };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(None) };
    // Looked up behind the descriptor: the number can't have become another's since.
    let is_it = groups::processes(&host.hierarchy, &path).contains(&run.pid) && is_first(run.pid);
    let Ok(group) = Cgroup::open(&host.hierarchy, &path) else { return Ok(None) };
    if !is_it {
        return Ok(None);
    }
    // The user that it was launched as owns its streams.
    let former = layout.former_run();
    let dir = if former.join("stdout").exists() { former } else { layout.run().to_owned() };
    let owner = fs::metadata(dir.join("stdout"))?;
    let request = TakeUp {
        key: Host::key(uid),
        attempt: run.attempt,
        pid: run.pid,
        stdio: StdioSpec { dir, ..stdio(&template.service, &layout, owner.uid(), owner.gid()) },
        log: log(&template.service, &layout),
        cgroup: Some(path),
        cgroup_dirs: group.entrances(),
    };
    Ok(Some((request, pidfd)))
}

/// Whether a process is number 1 of its namespace (proc_pid_status(5), `NSpid`).
fn is_first(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_whitespace().next_back() == Some("1"))
}
