//! Instances that live in another one's network namespace (`network_mode: service:`).
//!
//! Each run of that other one has a fresh namespace, as with Docker: what programs make in there (a tunnel, routes,
//! rules) is never in the way of the next run. So whoever shares it is started again after each of its starts.

use hoist_model::{InstanceKind, InstanceSpec, InstanceUid, NetworkMode, ServiceName};

use super::control::HostLoop;
use super::gates::Standing;
use super::restart::Due;
use super::view::View;
use super::{EndedBy, Instance, Joined, Life};

/// The service whose network an instance shares.
fn service<'a>(view: &View<'a>, spec: &InstanceSpec) -> Option<&'a ServiceName> {
    match &view.template(spec)?.service.network_mode {
        NetworkMode::Service(service) => Some(service),
        NetworkMode::Own | NetworkMode::None | NetworkMode::Host => None,
    }
}

/// The run that an instance would join now.
pub(super) fn current(view: &View<'_>, spec: &InstanceSpec) -> Option<Joined> {
    let members = view.members(&spec.slot.stack, service(view, spec)?);
    let running = |uid: &&InstanceUid| {
        let runs = view.instance(**uid).is_some_and(|seen| matches!(seen.life, Life::Running { .. }));
        runs && !view.stopping(**uid) && view.wanted(**uid)
    };
    let first = members
        .iter()
        .filter(running)
        .min_by_key(|uid| view.spec.instances.get(*uid).map(|s| s.slot.index))?;
    Some(Joined { instance: *first, attempt: view.instance(*first)?.starts })
}

/// Whether the namespace that a replica lives in is no longer that of a running instance while there is another.
pub(super) fn is_left_behind(view: &View<'_>, spec: &InstanceSpec, instance: &Instance) -> bool {
    let Some(joined) = instance.joined.filter(|_| spec.kind == InstanceKind::Replica) else { return false };
    let stands = view
        .instance(joined.instance)
        .is_some_and(|seen| matches!(seen.life, Life::Running { .. }) && seen.starts == joined.attempt);
    !stands && current(view, spec).is_some()
}

/// Whether an instance that has ended was ended for that reason, and starts again.
pub(super) fn follows(view: &View<'_>, spec: &InstanceSpec, instance: &Instance) -> bool {
    let ended = matches!(instance.life, Life::Ended { by: EndedBy::Hoist, .. });
    ended && is_left_behind(view, spec, instance)
}

/// Where an instance stands that needs another's network: it can only be joined while that one runs.
pub(super) fn standing(view: &View<'_>, spec: &InstanceSpec) -> Standing {
    let Some(service) = service(view, spec) else { return Standing::Open };
    if current(view, spec).is_some() {
        return Standing::Open;
    }
    let comes = |uid: &InstanceUid| {
        let Some(seen) = view.instance(*uid) else { return true };
        let failed = seen.fault.as_ref().is_some_and(|fault| fault.retry.is_none());
        view.wanted(*uid) && (view.alive(*uid) || view.due(*uid) != Due::Stay) && !failed
    };
    if view.members(&spec.slot.stack, service).iter().any(comes) {
        return Standing::Closed;
    }
    Standing::Broken(format!("service {service}, whose network it shares, does not run"))
}

impl HostLoop {
    /// The process whose network namespace an instance is to be launched into, as the start of it was planned.
    #[must_use]
    pub fn network_of(&self, uid: InstanceUid) -> Option<i32> {
        let joined = self.observed.instances.get(&uid)?.joined?;
        let other = self.observed.instances.get(&joined.instance)?;
        match other.life {
            Life::Running { pid, .. } if other.starts == joined.attempt => Some(pid),
            _ => None,
        }
    }
}
