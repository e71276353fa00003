//! Everything of this host that steps, probes and calls act through.

use std::sync::Arc;
use std::time::Duration;

use hoist_keeper::protocol::Key;
use hoist_model::{HostId, HostReport, HostSpec, InstanceUid, Template, WantedRun};
use hoist_planner::host::StepError;
use hoist_runtime::cgroup::{CgroupPath, Hierarchy};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::builder::under_way::UnderWay;
use crate::fabric::FabricLink;
use crate::images::Images;
use crate::instances::answering::Answering;
use crate::instances::ends::Ends;
use crate::instances::execs::Execs;
use crate::instances::health_log::HealthLog;
use crate::instances::steps::root::Bases;
use crate::layout::Layout;
use crate::outcome::failed;
use crate::processes::held::Held;
use crate::processes::link::Link;
use crate::reserve::Reserve;

/// What takes longer isn't at work in the kernel, but waits for something that others needn't wait for: a file system
/// that does not answer.
const LONGEST_TURN: Duration = Duration::from_millis(500);

/// A turn under way; it is over after a while, even if this is still there.
#[derive(Debug)]
pub(crate) struct Turn {
    _over: oneshot::Sender<()>,
}

/// One host, as the agent acts on it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) layout: Layout,
    pub(crate) hostname: String,
    pub(crate) images: Images,
    pub(crate) link: Link,
    pub(crate) fabric: FabricLink,
    pub(crate) held: Held,
    pub(crate) execs: Execs,
    pub(crate) health_log: HealthLog,
    pub(crate) ends: Ends,
    pub(crate) bases: Arc<Bases>,
    /// Folders of the host that are asked whether they answer.
    pub(crate) answering: Answering,
    pub(crate) hierarchy: Arc<Hierarchy>,
    /// Where this root's control groups are.
    pub(crate) groups: CgroupPath,
    /// How many instances may be worked on at once.
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) known: Arc<watch::Sender<Known>>,
    pub(crate) builds: UnderWay,
    pub(crate) reserve: Reserve,
}

/// What calls that bypass the loop look up: the accepted spec and the last report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) spec: Arc<HostSpec>,
    pub(crate) report: Option<Arc<HostReport>>,
}

impl Host {
    /// This host's name, as specs and reports have it.
    pub(crate) fn id(&self) -> HostId {
        HostId::new(self.hostname.clone()).unwrap_or_else(|_| HostId::new("localhost").expect("a valid name"))
    }

    /// The keeper's name for an instance.
    pub(crate) fn key(uid: InstanceUid) -> Key {
        Key::new(uid.to_string()).expect("hexadecimal digits name an instance")
    }

    /// An instance's control group.
    pub(crate) fn cgroup(&self, uid: InstanceUid) -> CgroupPath {
        self.groups.child(uid.to_string()).expect("hexadecimal digits name a group")
    }

    /// A turn at kernel work on an instance, until it is dropped. More at once than processors only makes each wait
    /// longer, on a thread of its own.
    pub(crate) async fn turn(&self) -> Result<Turn, StepError> {
        let permit = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| failed(&error))?;
        let (over, ended) = oneshot::channel();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(LONGEST_TURN, ended).await;
            drop(permit);
        });
        Ok(Turn { _over: over })
    }

    /// The accepted spec and the last report.
    pub(crate) fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    pub(crate) fn set_known(&self, change: impl FnOnce(&mut Known)) {
        self.known.send_modify(change);
    }

    /// Resolves once the accepted spec has an instance no more, or has it stopped where `run` was something else.
    pub(crate) async fn until_unwanted(&self, uid: InstanceUid, run: WantedRun) {
        let unwanted = |known: &Known| {
            let now = known.spec.instances.get(&uid).map(|spec| spec.run);
            now.is_none_or(|now| now != run && now != WantedRun::Running)
        };
        // The sender is this host's own.
        let _ = self.known.subscribe().wait_for(unwanted).await;
    }

    /// A running instance's definition and first process.
    pub(crate) fn running(&self, uid: InstanceUid) -> Option<(Arc<Template>, i32)> {
        let known = self.known();
        let report = known.report?;
        let instance = report.instances.get(&uid)?;
        let template = known.spec.templates.get(&instance.template)?;
        Some((Arc::clone(template), instance.pid?))
    }
}
