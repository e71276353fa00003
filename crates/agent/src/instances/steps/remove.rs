//! Removes an instance and everything of it: what may still run, its control group, its files.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use hoist_keeper::protocol::{Refusal, Request};
use hoist_model::InstanceUid;
use hoist_planner::host::StepError;
use hoist_runtime::cgroup::Cgroup;

use crate::host::Host;
use crate::outcome::{blocking, failed};
use crate::processes::link::LinkError;

/// How often, and how long apart, the keeper is asked to forget an instance whose last process is just ending.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(host: &Host, uid: InstanceUid) -> Result<(), StepError> {
    let (hierarchy, path) = (host.hierarchy.clone(), host.cgroup(uid));
    let turn = host.turn().await?;
    blocking(move || {
        let Ok(group) = Cgroup::open(&hierarchy, &path) else { return Ok(()) };
        group.kill().map_err(|error| failed(&error))?;
        group.remove().map_err(|error| failed(&error))
    })
    .await?;
    drop(turn);
    forget(host, uid).await?;
    host.held.drop_all(uid);
    // Before the instance is known to be gone: from then on its addresses may be another's.
    host.fabric.forget(addresses(host, uid)).await;
    let layout = host.layout.instance(&uid);
    let _turn = host.turn().await?;
    blocking(move || [layout.run(), layout.dir()].into_iter().try_for_each(remove)).await
}

fn addresses(host: &Host, uid: InstanceUid) -> Vec<IpAddr> {
    let known = host.known();
    let instance = known.report.as_ref().and_then(|report| report.instances.get(&uid));
    instance.into_iter().flat_map(|instance| instance.addresses.values().flatten().copied()).collect()
}

fn remove(dir: &Path) -> Result<(), StepError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let what = format!("can't remove {}: {error}", dir.display());
            Err(StepError { what, hint: None, permanent: false })
        }
        _ => Ok(()),
    }
}

/// The keeper refuses while it still drains the instance's output.
async fn forget(host: &Host, uid: InstanceUid) -> Result<(), StepError> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match host.link.tell(Request::Forget { key: Host::key(uid) }, Vec::new()).await {
            // One that was never started is unknown to it.
            Ok(()) | Err(LinkError::Refused { why: Refusal::Unknown, .. }) => return Ok(()),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
    last.map_or(Ok(()), |error| Err(failed(&error)))
}
