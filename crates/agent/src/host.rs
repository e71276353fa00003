//! Everything of this host that steps, probes and calls act through.

use std::sync::{Arc, Mutex, PoisonError};

use hoist_keeper::protocol::Key;
use hoist_model::{HostReport, HostSpec, InstanceUid, Template};
use hoist_planner::host::{StepError, Zone};
use hoist_runtime::cgroup::{CgroupPath, Hierarchy};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::builder::under_way::UnderWay;
use crate::fabric::FabricLink;
use crate::images::Images;
use crate::instances::ends::Ends;
use crate::instances::execs::Execs;
use crate::instances::health_log::HealthLog;
use crate::instances::steps::{Bases, failed};
use crate::layout::Layout;
use crate::processes::held::Held;
use crate::processes::link::Link;

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
    pub(crate) hierarchy: Arc<Hierarchy>,
    /// Where this root's control groups are.
    pub(crate) groups: CgroupPath,
    /// How many instances may be worked on at once.
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) known: Arc<Mutex<Known>>,
    pub(crate) builds: UnderWay,
}

/// What calls that bypass the loop look up: the accepted spec and the last report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) spec: Arc<HostSpec>,
    pub(crate) report: Option<Arc<HostReport>>,
}

impl Host {
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
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, StepError> {
        self.turns.acquire().await.map_err(|error| failed(&error))
    }

    /// The accepted spec and the last report.
    pub(crate) fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_known(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A running instance's definition and first process.
    pub(crate) fn running(&self, uid: InstanceUid) -> Option<(Arc<Template>, i32)> {
        let known = self.known();
        let report = known.report?;
        let instance = report.instances.get(&uid)?;
        let template = known.spec.templates.get(&instance.template)?;
        Some((Arc::clone(template), instance.pid?))
    }

    /// Hands the names to the DNS server.
    pub(crate) fn publish_zone(&self, zone: &Zone) {
        if let Err(error) =
            crate::fabric::zone::publish(&self.layout.zone(), zone, self.fabric.host_address())
        {
            tracing::error!("names can't be published: {}", crate::chain::chain(&error));
        }
    }
}
