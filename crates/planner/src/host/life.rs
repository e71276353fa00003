//! The life of instances: stop, remove, make, start. Each function is one rule over all instances.

use std::time::Duration;

use hoist_model::{Gate, InstanceKind, InstanceSpec, InstanceUid, Waiting};

use super::gates::{self, Standing};
use super::holders::Holders;
use super::order::StopOrder;
use super::plan::Draft;
use super::resources;
use super::restart::Due;
use super::view::View;
use super::{Instance, Life, PublishSeen, Step, carry, fabric, hooks, parting, shared};
use crate::claims::{self, Claim};

/// An instance is told to end at the latest so long after it should have stopped getting new traffic.
const LONGEST_WITHDRAWAL: Duration = Duration::from_secs(5);

/// Sees to what runs and isn't as it should be: without a keeper nobody would learn of its end, nor end it; without its
/// interface nobody can reach it.
pub(super) fn mend(draft: &mut Draft<'_>) {
    for uid in &draft.view.observed.unkept {
        let stray = draft.view.observed.strays.contains_key(uid);
        if !stray && !draft.view.busy(*uid) {
            draft.want(Step::ClearInstance(*uid), "it runs without a keeper");
        }
    }
    for uid in &draft.view.observed.detached {
        let runs = draft.view.instance(*uid).is_some_and(|seen| matches!(seen.life, Life::Running { .. }));
        if runs && !draft.view.busy(*uid) && draft.view.leaving(*uid).is_none() && !draft.view.stopping(*uid)
        {
            draft.want(Step::AttachInstance(*uid), "it lacks an interface");
        }
    }
}

/// Tells instances to end: dependents first, SIGKILL after the grace period.
pub(super) fn stop(draft: &mut Draft<'_>, order: &StopOrder<'_>) {
    for (uid, alive) in &draft.view.observed.strays {
        let step = if *alive { Step::KillInstance(*uid) } else { Step::RemoveInstance(*uid) };
        draft.want(step, "neither the spec nor the journal knows it");
    }
    for uid in draft.uids() {
        let Some(instance) = draft.view.instance(uid) else { continue };
        let running = matches!(instance.life, Life::Running { .. });
        match (&instance.stopping, draft.view.leaving(uid)) {
            // Once told to end it is seen through, whatever is wanted now: it starts again afterwards.
            (Some(told), _) if running && !told.killed => {
                let of_stack = draft.view.spec.stop_grace.get(&instance.birth.slot.stack);
                let grace = of_stack.copied().unwrap_or(instance.birth.stop_grace);
                kill_when_due(draft, uid, told.since.after(grace));
            }
            (None, Some(cause)) if running => match order.waits_for(&draft.view, uid) {
                Some(dependent) => draft.wait(uid, Waiting::Claim(format!("{dependent} to stop first"))),
                None => take_leave(draft, uid, cause),
            },
            // A launch under way ends first; a killed process is only waited for.
            _ => {}
        }
    }
}

/// Takes an instance out of the network's traffic, and tells it to end once the network is known to have changed: else
/// it could still be given new connections, which it would refuse or drop.
fn take_leave(draft: &mut Draft<'_>, uid: InstanceUid, cause: &str) {
    let Some(instance) = draft.view.instance(uid) else { return };
    let observed = draft.view.observed;
    let since = observed.withdrawn.get(&uid);
    // Once begun it goes on without the keeper: a signal that failed may have been sent all the same.
    if !observed.keeper && since.is_none() {
        return;
    }
    let due = since.unwrap_or(draft.view.now).after(LONGEST_WITHDRAWAL);
    draft.withdraw(uid);
    if !observed.fabric.may_lead_to(instance.birth.addresses.values().flatten()) {
        signal(draft, uid, cause);
    } else if due.since_boot > draft.view.now.since_boot {
        draft.wake(due);
    } else if signal(draft, uid, cause) {
        draft.plan.warnings.push(format!(
            "{} is told to end although the network may still lead new connections to it: the change was not made \
             within {} s",
            instance.birth.slot.container_name(),
            LONGEST_WITHDRAWAL.as_secs()
        ));
    }
}

/// Its hooks come first. Says whether the step begins now.
fn signal(draft: &mut Draft<'_>, uid: InstanceUid, cause: &str) -> bool {
    let Some(instance) = draft.view.instance(uid) else { return false };
    let step = Step::SignalInstance { uid, signal: instance.birth.stop_signal.clone() };
    hooks::before_stop(draft, uid) && draft.view.observed.keeper && draft.want(step, cause)
}

fn kill_when_due(draft: &mut Draft<'_>, uid: InstanceUid, due: hoist_model::Moment) {
    if due.since_boot > draft.view.now.since_boot {
        draft.wake(due);
    } else if draft.view.observed.keeper {
        draft.want(Step::KillInstance(uid), "it didn't end within its grace period");
    }
}

/// Removes instances that have ended and are not in the spec, those that others need after these.
pub(super) fn remove(draft: &mut Draft<'_>, order: &StopOrder<'_>) {
    for uid in draft.uids() {
        let wanted = draft.view.spec.instances.contains_key(&uid);
        let exists = draft.view.instance(uid).is_some();
        let needed = order.waits_for(&draft.view, uid).is_some() || carry::is_owed(&draft.view, uid);
        if exists && !wanted && !needed && !draft.view.alive(uid) && !draft.view.busy(uid) {
            draft.want(Step::RemoveInstance(uid), "it is no longer wanted");
        }
    }
}

/// Lays out instances of the spec that don't exist, or exist in part. Nothing of it needs a claim, so it is done while
/// gates are closed and predecessors still run.
pub(super) fn make(draft: &mut Draft<'_>) {
    for (uid, spec) in &draft.view.spec.instances {
        if draft.view.laid_out(*uid) {
            continue;
        }
        if let Some(resource) = resources::missing(&draft.view, spec) {
            draft.wait(*uid, Waiting::Resource(resource));
            continue;
        }
        let cause =
            if draft.view.instance(*uid).is_some() { "it was left half made" } else { "it doesn't exist" };
        draft.want(Step::CreateInstance(*uid), cause);
    }
}

/// Starts what should run and may.
pub(super) fn start(draft: &mut Draft<'_>) {
    let holders = Holders::of(draft.view.observed);
    for (uid, spec) in &draft.view.spec.instances {
        if draft.view.alive(*uid) || draft.view.busy(*uid) || !draft.view.laid_out(*uid) {
            continue;
        }
        match draft.view.due(*uid) {
            Due::Stay => {}
            Due::At(moment) => draft.wake(moment),
            Due::Now(cause) => match held(draft, &holders, *uid, spec) {
                Held::Back => {}
                Held::By(waiting) => draft.wait(*uid, waiting),
                Held::No if carry::before_start(draft, *uid) => launch(draft, *uid, cause.text()),
                Held::No => {}
            },
        }
    }
}

fn launch(draft: &mut Draft<'_>, uid: InstanceUid, cause: &str) {
    let attempt = draft.view.instance(uid).map_or(1, |instance| instance.starts + 1);
    draft.want(Step::StartInstance { uid, attempt }, cause);
}

enum Held {
    /// By its own last failure.
    Back,
    /// By something that is said.
    By(Waiting),
    No,
}

/// What keeps an instance from starting now. The order is the order in which a person would want to hear of it.
fn held(draft: &mut Draft<'_>, holders: &Holders<'_>, uid: InstanceUid, spec: &InstanceSpec) -> Held {
    if held_by_fault(draft, uid, spec) {
        return Held::Back;
    }
    let view = &draft.view;
    let waiting = closed_gate(view, spec)
        .map(Waiting::Gate)
        .or_else(|| resources::missing(view, spec).map(Waiting::Resource))
        .or_else(|| closed_network(view, spec).map(Waiting::Resource))
        .or_else(|| taken_claim(view, holders, uid, spec).map(Waiting::Claim))
        .or_else(|| unreserved(view, spec).map(Waiting::Resource))
        .or_else(|| (!view.observed.keeper).then(|| Waiting::Resource("the keeper to come back".to_owned())));
    waiting.map_or(Held::No, Held::By)
}

/// A failed launch is tried again when its fault says so, and at once when a person asks.
fn held_by_fault(draft: &mut Draft<'_>, uid: InstanceUid, spec: &InstanceSpec) -> bool {
    let Some(instance) = draft.view.instance(uid) else { return false };
    let Some(fault) = &instance.fault else { return false };
    if spec.start_nonce > instance.start_nonce || spec.restart_nonce > instance.restart_nonce {
        return false;
    }
    match fault.retry.clone() {
        None => true,
        Some(retry) if retry.boot == draft.view.now.boot && retry.since_boot > draft.view.now.since_boot => {
            draft.wake(retry);
            true
        }
        Some(_) => false,
    }
}

fn closed_gate(view: &View<'_>, spec: &InstanceSpec) -> Option<Gate> {
    spec.gates.iter().find(|gate| gates::standing(view, spec, gate) != Standing::Open).cloned()
}

fn closed_network(view: &View<'_>, spec: &InstanceSpec) -> Option<String> {
    let closed = shared::standing(view, spec) != Standing::Open;
    closed.then(|| "the network that it shares".to_owned())
}

fn taken_claim(
    view: &View<'_>,
    holders: &Holders<'_>,
    uid: InstanceUid,
    spec: &InstanceSpec,
) -> Option<String> {
    let claims = claims::of_instance(spec);
    let others = holders.sharing(spec).into_iter().filter(|other| *other != uid && view.alive(*other));
    for other in others.filter_map(|other| view.instance(other)) {
        let birth = &other.birth;
        let held = claims::held(&birth.slot, &birth.addresses);
        let both = claims.iter().filter(|claim| held.iter().any(|held| held.conflicts(claim)));
        for claim in both {
            let name = birth.slot.container_name();
            match claim {
                Claim::Slot(_) if may_overlap(view, uid, spec, other) => {}
                Claim::Slot(_) => return Some(format!("the old {name} to stop")),
                claim => return Some(format!("{name} to stop, which has {claim}")),
            }
        }
    }
    None
}

fn may_overlap(view: &View<'_>, uid: InstanceUid, spec: &InstanceSpec, old: &Instance) -> bool {
    let replicas = [spec.kind, old.birth.kind].iter().all(|kind| *kind == InstanceKind::Replica);
    replicas && parting::reasons(view, old, uid, spec).is_empty()
}

fn unreserved(view: &View<'_>, spec: &InstanceSpec) -> Option<String> {
    let keys = fabric::publish_keys(view, spec);
    let missing = keys
        .into_iter()
        .find(|key| !matches!(view.observed.published.get(key), Some(PublishSeen::Reserved(_))))?;
    let port = missing
        .port
        .published
        .map_or_else(|| "a free host port".to_owned(), |port| format!("host port {port}"));
    Some(format!("{port}/{}", missing.port.protocol))
}
