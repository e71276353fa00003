//! What becomes of running instances while a service is unhealthy that they depend on with `service_healthy`, where the
//! file says that it is to have a consequence.

use hoist_model::{Condition, Health, InstanceSpec, InstanceUid, OnUnhealthy};

use super::control::HostLoop;
use super::view::View;
use super::{Instance, Life};
use crate::Now;

/// What changes for one instance.
enum Change {
    /// A dependency has become unhealthy, or no longer is.
    Shaken(bool),
    /// All are healthy again, and it is to start anew.
    Unfit,
}

impl HostLoop {
    /// Notes whose dependencies have become unhealthy or healthy again.
    pub(super) fn note_dependencies(&mut self, now: &Now) {
        let concerned = |template: &std::sync::Arc<hoist_model::Template>| {
            template.service.on_dependency_unhealthy != OnUnhealthy::Ignore
        };
        if !self.spec.templates.values().any(concerned) {
            return;
        }
        let view = View::new(&self.input(now, &self.observed));
        let changes: Vec<(InstanceUid, Change)> = self
            .spec
            .instances
            .iter()
            .filter_map(|(uid, spec)| Some((*uid, change(&view, spec, view.instance(*uid)?)?)))
            .collect();
        for (uid, change) in changes {
            self.change(uid, |instance| match change {
                Change::Shaken(shaken) => instance.shaken = shaken,
                Change::Unfit => (instance.shaken, instance.unfit) = (false, true),
            });
        }
    }
}

fn change(view: &View<'_>, spec: &InstanceSpec, instance: &Instance) -> Option<Change> {
    let policy = view.template(spec)?.service.on_dependency_unhealthy;
    if policy == OnUnhealthy::Ignore || !matches!(instance.life, Life::Running { .. }) {
        return instance.shaken.then_some(Change::Shaken(false));
    }
    let gates = spec.gates.iter().filter(|gate| gate.condition == Condition::ServiceHealthy);
    let members = gates.flat_map(|gate| view.members(&spec.slot.stack, &gate.service));
    let health: Vec<Health> = members.filter_map(|uid| Some(view.instance(*uid)?.health)).collect();
    let unhealthy = health.contains(&Health::Unhealthy);
    let healthy = health.iter().all(|health| *health == Health::Healthy);
    match (instance.shaken, policy) {
        (false, _) if unhealthy => Some(Change::Shaken(true)),
        (true, OnUnhealthy::Restart) if healthy => Some(Change::Unfit),
        (true, OnUnhealthy::Hold) if !unhealthy => Some(Change::Shaken(false)),
        _ => None,
    }
}
