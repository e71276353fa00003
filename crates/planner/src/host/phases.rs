//! What a plan says of each instance: its phase, what can't be done, what to probe.

use std::collections::BTreeMap;

use hoist_model::{Failure, InstanceUid, Phase, Subject, Waiting};

use super::gates::{self, Standing};
use super::restart::Due;
use super::view::View;
use super::{Fault, HostPlan, Instance, Life, Probing, PublishSeen, Step};
use super::{fabric, shared};

/// So many failures in a row count as final for whoever waits; the step is tried again all the same.
const PATIENCE: u32 = 5;

/// Running instances that have a health check and are not about to end.
pub(super) fn probing(view: &View<'_>) -> BTreeMap<InstanceUid, Probing> {
    let mut probing = BTreeMap::new();
    for (uid, instance) in &view.observed.instances {
        let Life::Running { since, .. } = &instance.life else { continue };
        // Of what left the spec the last health known holds: its template is gone.
        let template = view.spec.templates.get(&instance.birth.template);
        let check = template.and_then(|template| crate::health_check(template));
        if let Some(check) = check.filter(|_| !view.stopping(*uid)) {
            probing.insert(*uid, Probing { attempt: instance.starts, since: since.clone(), check });
        }
    }
    probing
}

/// Adds phases and failures to a plan whose steps are complete.
pub(super) fn fill(view: &View<'_>, plan: &mut HostPlan) {
    for (uid, instance) in &view.observed.instances {
        let phase = phase(view, *uid, instance, plan.waiting.get(uid));
        plan.phases.insert(*uid, phase);
        plan.failures.extend(instance_failure(view, *uid, instance));
    }
    for planned in &plan.steps {
        if let Step::CreateInstance(uid) = planned.step {
            plan.phases.insert(uid, Phase::Starting);
        }
    }
    plan.failures.extend(broken_gates(view, &plan.waiting));
    plan.failures.extend(broken_networks(view, &plan.waiting));
    plan.failures.extend(step_failures(view));
    plan.failures.extend(refused_ports(view));
    plan.failures.extend(stuck_network(view));
}

fn phase(view: &View<'_>, uid: InstanceUid, instance: &Instance, waiting: Option<&Waiting>) -> Phase {
    let fault = instance.fault.as_ref().or_else(|| view.observed.faults.get(&Step::CreateInstance(uid)));
    match (&instance.life, waiting) {
        (Life::Running { .. }, _) if view.withdrawn(uid) => Phase::Stopping,
        (Life::Running { .. }, _) => Phase::Running,
        (Life::Launching, _) => Phase::Starting,
        _ if view.starting(uid) => Phase::Starting,
        (_, Some(waiting)) => Phase::Waiting(waiting.clone()),
        (Life::Making | Life::Created, None) if fault.is_some() && !view.busy(uid) => {
            Phase::Failed(fault.map_or_else(String::new, |fault| fault.what.clone()))
        }
        (Life::Making, None) => Phase::Starting,
        (Life::Created, None) => Phase::Waiting(Waiting::Turn),
        (Life::Ended { .. }, None) => match view.due(uid) {
            Due::At(moment) => Phase::Restarting(moment),
            Due::Now(_) => Phase::Waiting(Waiting::Turn),
            Due::Stay => Phase::Exited,
        },
    }
}

fn instance_failure(view: &View<'_>, uid: InstanceUid, instance: &Instance) -> Option<Failure> {
    let spec = view.spec.instances.get(&uid)?;
    // A failure from before a person asked again is no news.
    let stale = spec.start_nonce > instance.start_nonce || spec.restart_nonce > instance.restart_nonce;
    let fault = instance.fault.as_ref().filter(|_| !stale && !view.starting(uid) && view.wanted(uid))?;
    Some(failure(Subject::Slot(instance.birth.slot.clone()), fault))
}

fn failure(subject: Subject, fault: &Fault) -> Failure {
    let permanent = fault.retry.is_none() || fault.failures >= PATIENCE;
    Failure { subject, what: fault.what.clone(), hint: fault.hint.clone(), permanent }
}

fn broken_gates(view: &View<'_>, waiting: &BTreeMap<InstanceUid, Waiting>) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (uid, waiting) in waiting {
        let (Waiting::Gate(gate), Some(spec)) = (waiting, view.spec.instances.get(uid)) else { continue };
        if let Standing::Broken(why) = gates::standing(view, spec, gate) {
            failures.push(Failure {
                subject: Subject::Slot(spec.slot.clone()),
                what: format!("dependency failed to start: {why}"),
                hint: Some(format!("see `hoist logs {}`", gate.service)),
                permanent: true,
            });
        }
    }
    failures
}

fn broken_networks(view: &View<'_>, waiting: &BTreeMap<InstanceUid, Waiting>) -> Vec<Failure> {
    let held = waiting.iter().filter(|(_, waiting)| matches!(waiting, Waiting::Resource(_)));
    let broken = held.filter_map(|(uid, _)| {
        let spec = view.spec.instances.get(uid)?;
        match shared::standing(view, spec) {
            Standing::Broken(what) => Some(Failure {
                subject: Subject::Slot(spec.slot.clone()),
                what,
                hint: Some("see `hoist ps -a`".to_owned()),
                permanent: true,
            }),
            Standing::Open | Standing::Closed => None,
        }
    });
    broken.collect()
}

fn step_failures(view: &View<'_>) -> Vec<Failure> {
    let faults = view.observed.faults.iter().filter(|(step, _)| !view.under_way(step));
    faults.map(|(step, fault)| failure(subject(view, step), fault)).collect()
}

fn subject(view: &View<'_>, step: &Step) -> Subject {
    match step {
        Step::EnsureNetwork(id) | Step::RemoveNetwork(id) => Subject::Network(id.clone()),
        Step::EnsureVolume(id) | Step::RemoveVolume(id) => Subject::Volume(id.clone()),
        Step::CreateInstance(uid)
        | Step::StartInstance { uid, .. }
        | Step::SignalInstance { uid, .. }
        | Step::DrainInstance { uid, .. }
        | Step::RunHook { uid, .. }
        | Step::CarryVolumes { to: uid, .. }
        | Step::RenewContents { uid, .. }
        | Step::AttachInstance(uid)
        | Step::KillInstance(uid)
        | Step::ClearInstance(uid)
        | Step::RemoveInstance(uid) => {
            let wanted = view.spec.instances.get(uid).map(|spec| &spec.slot);
            let seen = view.instance(*uid).map(|instance| &instance.birth.slot);
            wanted.or(seen).map_or(Subject::Host, |slot| Subject::Slot(slot.clone()))
        }
    }
}

/// The network isn't what was planned. It is tried again all the time.
fn stuck_network(view: &View<'_>) -> Option<Failure> {
    let fault = view.observed.fabric.fault()?;
    let what = format!("the network can't be brought up to date: {}", fault.what);
    let permanent = fault.failures >= PATIENCE;
    Some(Failure { subject: Subject::Host, what, hint: fault.hint.clone(), permanent })
}

/// What is refused counts only while it is wanted: an application of the network that was under way when a new spec came
/// still tells of the old one's ports.
fn refused_ports(view: &View<'_>) -> Vec<Failure> {
    let wanted = fabric::wanted_ports(view);
    let refused = view.observed.published.iter().filter_map(|(key, seen)| match seen {
        PublishSeen::Refused(fault) if wanted.contains(key) => Some((key, fault)),
        PublishSeen::Refused(_) | PublishSeen::Reserved(_) => None,
    });
    refused
        // Another program may let go of a port at any time, so we try on; but a person must know now.
        .map(|(key, fault)| Failure {
            permanent: true,
            ..failure(Subject::Service(key.stack.clone(), key.service.clone()), fault)
        })
        .collect()
}
