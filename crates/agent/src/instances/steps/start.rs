//! Starts an instance: root, network and control group are made ready side by side, then the keeper launches.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use hoist_keeper::protocol::{Launch, Reply, Request};
use hoist_model::{ImageSource, InstanceUid, NetworkMode, Template};
use hoist_planner::host::{StepError, StepOk, StepResult};
use hoist_runtime::cgroup::{self, Cgroup, CgroupError};
use hoist_runtime::executable::{self, Search};
use hoist_runtime::sandbox;
use oci_spec::runtime::Spec;

use super::clear;
use super::context::InstanceContext;
use super::prepare::{Prepared, ask_sources, prepare};
use crate::host::Host;
use crate::instances::oci::{self, SpecInput};
use crate::outcome::{blocking, failed, refused};
use crate::processes::link::LinkError;
use crate::processes::take_up;

pub(super) async fn run(
    host: &Host,
    uid: InstanceUid,
    attempt: u32,
    instance: InstanceContext,
) -> StepResult {
    let run = instance.spec.run;
    tokio::select! {
        started = begin(host, uid, attempt, instance) => started,
        // A launch that hangs, in a file system that does not answer, keeps nobody from taking it down.
        () = host.until_unwanted(uid, run) => {
            super::signal::kill(host, uid).await?;
            Err(StepError { what: "it is not wanted any more".to_owned(), hint: None, permanent: false })
        }
    }
}

async fn begin(host: &Host, uid: InstanceUid, attempt: u32, instance: InstanceContext) -> StepResult {
    ask_sources(host, &instance).await?;
    let _turn = host.turn().await?;
    // First of all: an interface made for this run would take the place of a living one's.
    clear::before_start(host, uid).await?;
    let instance = Arc::new(instance);
    let (prepared, netns) = tokio::try_join!(
        {
            let (host, instance) = (host.clone(), Arc::clone(&instance));
            blocking(move || prepare(&host, uid, &instance))
        },
        network(host, uid, &instance),
    )?;
    let (own, shared) = (host.clone(), Arc::clone(&instance));
    let (launch, fds) = blocking(move || assemble(&own, uid, attempt, &shared, prepared, netns)).await?;
    let pid = launched(host, uid, launch, fds).await?;
    Ok(StepOk { pid: Some(pid) })
}

/// The network namespace, wired: nothing when it uses the host's.
async fn network(
    host: &Host,
    uid: InstanceUid,
    instance: &InstanceContext,
) -> Result<Option<OwnedFd>, StepError> {
    match &instance.template.service.network_mode {
        NetworkMode::Host => Ok(None),
        NetworkMode::Service(service) => {
            let pid = instance.network_of.ok_or_else(|| StepError {
                what: format!("service {service}, whose network it shares, does not run"),
                hint: None,
                permanent: false,
            })?;
            blocking(move || {
                let gone = || failed(&rustix::io::Errno::SRCH);
                let pid = rustix::process::Pid::from_raw(pid).ok_or_else(gone)?;
                sandbox::network_namespace_of(pid).map(Some).map_err(|error| failed(&error))
            })
            .await
        }
        NetworkMode::None => {
            blocking(|| sandbox::network_namespace().map(Some).map_err(|error| failed(&error))).await
        }
        NetworkMode::Own => {
            let netns = blocking(|| sandbox::network_namespace().map_err(|error| failed(&error))).await?;
            host.fabric.attach(&netns, uid, instance).await?;
            Ok(Some(netns))
        }
    }
}

fn assemble(
    host: &Host,
    uid: InstanceUid,
    attempt: u32,
    instance: &InstanceContext,
    prepared: Prepared,
    netns: Option<OwnedFd>,
) -> Result<(Launch, Vec<OwnedFd>), StepError> {
    let service = &instance.template.service;
    let input = SpecInput {
        template: &instance.template,
        uid: &uid,
        slot: &instance.spec.slot,
        user: &prepared.user,
        hostname: &prepared.hostname,
        own_network: netns.is_some(),
        mounts: &prepared.mounts,
        devices: &prepared.devices,
        all_users: has_all_users(),
    };
    let spec =
        oci::spec(&input).map_err(|error| refused(crate::chain::chain(&error), "correct the stack file"))?;
    let executable = find(&spec, &prepared, &instance.template)?;
    let group = control_group(host, uid, &spec)?;
    let layout = host.layout.instance(&uid);
    let launch = Launch {
        key: Host::key(uid),
        attempt,
        spec,
        stdio: take_up::stdio(service, &layout, prepared.user.uid, prepared.user.gid),
        log: take_up::log(service, &layout),
        cgroup: Some(group.path().clone()),
        cgroup_dirs: group.entrances(),
        executable,
        init: service.init,
        best_effort: true,
        netns: netns.is_some(),
    };
    let fds = std::iter::once(prepared.root).chain(netns).collect();
    Ok((launch, fds))
}

/// Whether this process is in no user namespace, or in one that leaves no users out (user_namespaces(7)).
fn has_all_users() -> bool {
    // A process stays in its user namespace, whose map is written once.
    static KNOWN: LazyLock<bool> = LazyLock::new(|| {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        map.split_whitespace().eq(["0", "0", "4294967295"])
    });
    *KNOWN
}

/// Looks the program up before anything is launched, so that a misspelt command is a clear error.
fn find(
    spec: &Spec,
    prepared: &Prepared,
    template: &Template,
) -> Result<Option<std::path::PathBuf>, StepError> {
    let Some(process) = spec.process() else { return Ok(None) };
    let Some(argv0) = process.args().as_ref().and_then(|args| args.first()) else { return Ok(None) };
    let env = process.env().iter().flatten();
    let path = env.filter_map(|entry| entry.strip_prefix("PATH=")).next_back().unwrap_or_default();
    let search = Search {
        root: prepared.root.as_fd(),
        argv0,
        path,
        cwd: Path::new(process.cwd()),
        identity: &prepared.user,
        mounts: !template.service.mounts.is_empty(),
    };
    let hint = match template.image.source {
        ImageSource::Rootfs(_) => {
            "correct `command` or `entrypoint`; a folder of `x-hoist.rootfs` shows its /usr, /bin, /sbin, /lib*, /opt and /etc: mount others under `volumes`"
        }
        _ => "correct `command` or `entrypoint`, or use an image that has it",
    };
    executable::find(&search).map_err(|error| refused(error.to_string(), hint))
}

fn control_group(host: &Host, uid: InstanceUid, spec: &Spec) -> Result<Cgroup, StepError> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    let (limits, ignored) = cgroup::Limits::from_oci(&resources).map_err(|error| failed(&error))?;
    let made = Cgroup::create_contained(&host.hierarchy, &host.cgroup(uid), &limits);
    let (group, unenforced) = made.map_err(|error| match error {
        // What was killed a moment ago leaves its group a moment later.
        CgroupError::InUse { .. } => failed(&error),
        _ => refused(
            crate::chain::chain(&error),
            "take the limit out of the stack file, or enable its controller on this host",
        ),
    })?;
    for what in ignored.iter().chain(&unenforced) {
        tracing::warn!(instance = %uid.short(), "{what}");
    }
    Ok(group)
}

async fn launched(
    host: &Host,
    uid: InstanceUid,
    launch: Launch,
    fds: Vec<OwnedFd>,
) -> Result<i32, StepError> {
    match host.link.call(Request::Launch(Box::new(launch)), fds).await {
        Ok((Reply::Launched(launched), _)) => {
            for warning in &launched.warnings {
                tracing::warn!(instance = %uid.short(), "{warning}");
            }
            Ok(launched.identity.pid)
        }
        Ok((Reply::LaunchFailed(failure), _)) => {
            Err(StepError { what: failure.message, hint: failure.advice, permanent: failure.lasting })
        }
        Ok((other, _)) => Err(StepError {
            what: format!("the keeper answered out of place: {other:?}"),
            hint: None,
            permanent: false,
        }),
        Err(error) => {
            if matches!(error, LinkError::Refused { .. }) {
                // It knows more of the instance than we do.
                host.link.doubt();
            }
            Err(failed(&error))
        }
    }
}
