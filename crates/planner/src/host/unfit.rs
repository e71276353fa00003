//! What runs and is to start anew all the same: its liveness probe fails, or it is unhealthy and the file says that this is
//! a reason. It is told to end like any other, and starts again with the pauses of a restart by policy.

use std::collections::BTreeMap;

use hoist_model::{InstanceKind, InstanceUid, ProbeRecord};

use super::control::HostLoop;
use super::view::View;
use super::{Life, Probing};

/// Running instances of the spec that have a liveness probe and are not about to end.
pub(super) fn living(view: &View<'_>) -> BTreeMap<InstanceUid, Probing> {
    let mut living = BTreeMap::new();
    for (uid, spec) in view.spec.instances.iter().filter(|(_, spec)| spec.kind == InstanceKind::Replica) {
        let Some(instance) = view.instance(*uid).filter(|_| !view.stopping(*uid)) else { continue };
        let Life::Running { since, .. } = &instance.life else { continue };
        let check = view.template(spec).and_then(|template| template.service.liveness.check.clone());
        if let Some(check) = check.filter(|_| !instance.unfit) {
            living.insert(*uid, Probing { attempt: instance.starts, since: since.clone(), check });
        }
    }
    living
}

impl HostLoop {
    /// The liveness probe of a run has failed for good.
    pub(super) fn is_unfit(&mut self, uid: InstanceUid, attempt: u32, probe: Option<ProbeRecord>) {
        let Some(instance) = self.observed.instances.get_mut(&uid) else { return };
        let current = matches!(instance.life, Life::Running { .. }) && instance.starts == attempt;
        if current && !instance.unfit {
            instance.unfit = true;
            instance.probe = probe.or(instance.probe.take());
            self.touched.insert(uid);
        }
    }

    /// Whether an unhealthy instance is to start anew.
    pub(super) fn restarts_unhealthy(&self, uid: InstanceUid) -> bool {
        let spec = self.spec.instances.get(&uid).filter(|spec| spec.kind == InstanceKind::Replica);
        let template = spec.and_then(|spec| self.spec.templates.get(&spec.template));
        template.is_some_and(|template| template.service.liveness.restart)
    }
}
