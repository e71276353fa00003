//! A signal for an instance, and the end of all of its processes.

use hoist_keeper::protocol::Request;
use hoist_model::InstanceUid;
use hoist_planner::host::StepError;
use hoist_runtime::cgroup::Cgroup;

use crate::host::Host;
use crate::instances::signals;
use crate::outcome::{blocking, failed, refused};

pub(super) async fn run(host: &Host, uid: InstanceUid, signal: &str) -> Result<(), StepError> {
    let Some(signal) = signals::number(signal) else {
        return Err(refused(
            format!("{signal:?} is not a signal"),
            "stop_signal takes a name such as SIGTERM, or a number",
        ));
    };
    send(host, uid, signal).await
}

/// A process that has ended already is as good as signalled.
pub(super) async fn send(host: &Host, uid: InstanceUid, signal: i32) -> Result<(), StepError> {
    let request = Request::Signal { key: Host::key(uid), exec: None, signal };
    match host.link.tell(request, Vec::new()).await {
        Ok(()) | Err(crate::processes::link::LinkError::Refused { .. }) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

/// Kills everything in the instance's control group: the first process alone would leave what has escaped its pid
/// namespace's end, one that is frozen dies only with its group, and a group takes all at once.
pub(crate) async fn kill(host: &Host, uid: InstanceUid) -> Result<(), StepError> {
    let (hierarchy, path) = (host.hierarchy.clone(), host.cgroup(uid));
    blocking(move || match Cgroup::open(&hierarchy, &path) {
        Ok(group) => group.kill().map_err(|error| failed(&error)),
        Err(_) => Ok(()),
    })
    .await?;
    send(host, uid, 9).await
}
