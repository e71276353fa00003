//! Makes room for a run: nothing is attached, replaced or refused before it is known that nothing of the instance runs.

use hoist_keeper::protocol::{Phase, Reply, Request};
use hoist_model::InstanceUid;
use hoist_planner::host::StepError;

use crate::host::Host;
use crate::instances::groups;
use crate::outcome::{blocking, failed};

/// Ends what runs of an instance without a keeper.
pub(super) async fn run(host: &Host, uid: InstanceUid) -> Result<(), StepError> {
    let (hierarchy, path) = (host.hierarchy.clone(), host.cgroup(uid));
    blocking(move || groups::empty(&hierarchy, &path)).await
}

/// Sees to it that nothing of an instance runs. What its last run left behind is ended; a run that the keeper looks
/// after is left as it is, and the start is an error.
pub(super) async fn before_start(host: &Host, uid: InstanceUid) -> Result<(), StepError> {
    let (hierarchy, path) = (host.hierarchy.clone(), host.cgroup(uid));
    let populated = blocking(move || Ok(!groups::processes(&hierarchy, &path).is_empty())).await?;
    if !populated {
        return Ok(());
    }
    if is_kept(host, uid).await? {
        host.link.doubt();
        return Err(StepError { what: "it runs already".to_owned(), hint: None, permanent: false });
    }
    run(host, uid).await
}

async fn is_kept(host: &Host, uid: InstanceUid) -> Result<bool, StepError> {
    let key = Host::key(uid);
    match host.link.call(Request::List, Vec::new()).await {
        Ok((Reply::Instances(list), _)) => {
            let live = |phase: &Phase| matches!(phase, Phase::Launching | Phase::Running);
            Ok(list.iter().any(|status| status.key == key && live(&status.phase)))
        }
        Ok(_) => Ok(false),
        Err(error) => Err(failed(&error)),
    }
}
