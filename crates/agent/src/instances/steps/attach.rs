//! Gives a running instance its interfaces again when something took them away.

use hoist_model::InstanceUid;
use hoist_planner::host::StepError;
use hoist_runtime::sandbox;
use rustix::process::Pid;

use super::context::InstanceContext;
use crate::host::Host;
use crate::instances::groups;
use crate::outcome::{blocking, failed};

pub(super) async fn run(host: &Host, uid: InstanceUid, instance: InstanceContext) -> Result<(), StepError> {
    let gone = || StepError { what: "it has just ended".to_owned(), hint: None, permanent: false };
    let (_, number) = host.running(uid).ok_or_else(gone)?;
    let pid = Pid::from_raw(number).ok_or_else(gone)?;
    let (hierarchy, path) = (host.hierarchy.clone(), host.cgroup(uid));
    let netns = blocking(move || {
        let netns = sandbox::network_namespace_of(pid).map_err(|error| failed(&error))?;
        // Looked up behind the descriptor: the number can't have become another's since.
        if groups::processes(&hierarchy, &path).contains(&number) { Ok(netns) } else { Err(gone()) }
    })
    .await?;
    host.fabric.attach(&netns, uid, &instance).await
}
