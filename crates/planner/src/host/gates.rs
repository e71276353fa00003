//! Local gates: what must be true of other services of the stack, on this host, before an instance starts. They hold
//! at boot, after a crash and at redeploy alike.

use hoist_model::{Condition, Gate, Health, InstanceSpec, InstanceUid};

use super::health::unhealthy;
use super::restart::Due;
use super::view::View;
use super::{Instance, Life, hooks};

/// Where a gate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// The condition holds.
    Open,
    /// Not yet.
    Closed,
    /// Not without a person: says what is wrong with which instance.
    Broken(String),
}

/// Where a gate of an instance stands. A service without instances here holds nothing up: it is scaled to zero, was
/// left out (`--no-deps`) or was taken down.
pub(super) fn standing(view: &View<'_>, of: &InstanceSpec, gate: &Gate) -> Standing {
    let mut closed = false;
    for uid in view.members(&of.slot.stack, &gate.service) {
        let Some(spec) = view.spec.instances.get(uid) else { continue };
        match member(view, *uid, spec, gate.condition) {
            Standing::Open => {}
            Standing::Closed if gate.required || view.wanted(*uid) => closed = true,
            Standing::Closed => {}
            Standing::Broken(why) if gate.required => {
                return Standing::Broken(format!("container {} {why}", view.name(&spec.slot, Some(spec))));
            }
            Standing::Broken(_) => {}
        }
    }
    if closed { Standing::Closed } else { Standing::Open }
}

fn member(view: &View<'_>, uid: InstanceUid, spec: &InstanceSpec, condition: Condition) -> Standing {
    let Some(instance) = view.instance(uid) else { return Standing::Closed };
    let changing = view.leaving(uid).is_some() && view.wanted(uid) || view.stopping(uid);
    // What is about to start or to end says nothing about the run that counts.
    if changing || view.starting(uid) || pending(view, uid, instance) {
        return Standing::Closed;
    }
    if let Some(fault) = &instance.fault
        && fault.retry.is_none()
        && !instance.alive()
    {
        return Standing::Broken("failed to start".to_owned());
    }
    if let Some(fault) = hooks::fault(view, uid, instance).filter(|fault| fault.retry.is_none()) {
        return Standing::Broken(format!("has not started: {}", fault.what));
    }
    if matches!(instance.life, Life::Running { .. }) && !instance.is_hooked() {
        return Standing::Closed;
    }
    match condition {
        Condition::ServiceStarted if instance.starts > 0 => Standing::Open,
        Condition::ServiceStarted => Standing::Closed,
        Condition::ServiceHealthy => healthy(view, uid, spec, instance),
        Condition::ServiceCompletedSuccessfully => completed(view, uid, instance),
    }
}

fn pending(view: &View<'_>, uid: InstanceUid, instance: &Instance) -> bool {
    let failed_for_good = instance.fault.as_ref().is_some_and(|fault| fault.retry.is_none());
    let asked = matches!(view.due(uid), Due::Now(cause) if cause != super::restart::StartCause::First);
    asked || matches!(view.due(uid), Due::Now(_)) && !failed_for_good
}

fn healthy(view: &View<'_>, uid: InstanceUid, spec: &InstanceSpec, instance: &Instance) -> Standing {
    let checked = view.template(spec).is_some_and(|template| crate::health_check(template).is_some());
    match (&instance.life, instance.health) {
        _ if !checked => Standing::Broken("has no health check".to_owned()),
        (Life::Running { .. }, Health::Healthy) => Standing::Open,
        (Life::Running { .. }, Health::Unhealthy) => Standing::Broken(unhealthy(instance.probe.as_ref())),
        (Life::Ended { exit, .. }, _) if view.wanted(uid) && view.due(uid) == Due::Stay => {
            Standing::Broken(exit.to_string())
        }
        _ => Standing::Closed,
    }
}

fn completed(view: &View<'_>, uid: InstanceUid, instance: &Instance) -> Standing {
    match &instance.life {
        Life::Ended { exit, .. } if exit.success() => Standing::Open,
        Life::Ended { exit, .. } if view.wanted(uid) && view.due(uid) == Due::Stay => {
            Standing::Broken(format!("didn't complete successfully: {exit}"))
        }
        _ => Standing::Closed,
    }
}
