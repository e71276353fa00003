//! How an instance leaves while its service stays: it serves until its successor is ready, then it finishes what it has,
//! then it ends.
//!
//! Nothing of it is remembered but when the draining began: a successor that is no longer ready gives the traffic back as
//! long as the old one was told nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::{Exit, InstanceKind, InstanceSpec, InstanceUid, Moment, NetworkMode, Parting, Slot};

use super::control::HostLoop;
use super::plan::Draft;
use super::restart::Due;
use super::view::View;
use super::{Birth, Draining, Instance, Life, Observed, Step, hooks};
use crate::Now;
use crate::rollout::{self, Side};

/// Names may be used for so long after they lead elsewhere: the time to live of an answer.
const NAMES: Duration = Duration::from_secs(1);

/// What becomes of a living instance that is no longer in the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays a while.
    Stays(Parting),
    /// It is told to end.
    Ends(&'static str),
}

const REPLACED: Fate = Fate::Ends("it is replaced");
const UNWANTED: Fate = Fate::Ends("it is no longer wanted");

/// The fate of everything that lives and left the spec.
pub(super) fn fates(view: &View<'_>) -> BTreeMap<InstanceUid, Fate> {
    if view.outgoing.is_empty() {
        return BTreeMap::new();
    }
    let mut successors: BTreeMap<&Slot, InstanceUid> = BTreeMap::new();
    for (uid, spec) in &view.spec.instances {
        if spec.kind == InstanceKind::Replica {
            successors.insert(&spec.slot, *uid);
        }
    }
    let fate = |uid: InstanceUid, instance: &Instance| match successors.get(&instance.birth.slot) {
        Some(successor) if instance.birth.kind == InstanceKind::Replica => {
            replaced(view, uid, instance, *successor)
        }
        _ => scaled_down(view, instance),
    };
    let gone = view.outgoing.values().flatten().filter_map(|uid| Some((*uid, view.instance(*uid)?)));
    gone.map(|(uid, instance)| (uid, fate(uid, instance))).collect()
}

fn replaced(view: &View<'_>, uid: InstanceUid, old: &Instance, successor: InstanceUid) -> Fate {
    let goes_on = matches!(old.life, Life::Running { .. }) && old.stopping.is_none();
    if !goes_on || !view.wanted(successor) || incumbent(view, &old.birth.slot) != Some(uid) {
        return REPLACED;
    }
    let overlaps = view
        .spec
        .instances
        .get(&successor)
        .is_some_and(|spec| reasons(view, old, successor, spec).is_empty());
    let told = old.hooks.parting || old.draining.as_ref().is_some_and(|draining| draining.signalled);
    match (overlaps, told || has_come(view, old, successor)) {
        (false, _) => REPLACED,
        (true, false) => Fate::Stays(Parting::Serves),
        (true, true) => drained(view, old, REPLACED),
    }
}

/// The place goes, the service stays.
fn scaled_down(view: &View<'_>, old: &Instance) -> Fate {
    let slot = &old.birth.slot;
    let others = view.members(&slot.stack, &slot.service);
    let running = matches!(old.life, Life::Running { .. }) && old.stopping.is_none();
    let reached = old.birth.handover.is_reached(&old.listening);
    let drains = running && reached && old.birth.kind == InstanceKind::Replica;
    if drains && others.iter().any(|uid| view.wanted(*uid)) { drained(view, old, UNWANTED) } else { UNWANTED }
}

fn drained(view: &View<'_>, old: &Instance, then: Fate) -> Fate {
    let handover = &old.birth.handover;
    if !handover.is_reached(&old.listening) {
        return then;
    }
    let Some(draining) = &old.draining else { return Fate::Stays(Parting::Drains) };
    let age = view.now.since(&draining.since).unwrap_or(Duration::MAX);
    let over = age >= limit(old) || draining.idle && age >= NAMES;
    if over { then } else { Fate::Stays(Parting::Drains) }
}

fn limit(old: &Instance) -> Duration {
    old.birth.handover.drain.max(NAMES)
}

/// Whose traffic a successor takes over: of several in one slot the one that doesn't drain, that is ready, that came last.
fn incumbent(view: &View<'_>, slot: &Slot) -> Option<InstanceUid> {
    let others = view.outgoing.get(slot)?.iter().filter(|uid| !view.stopping(**uid));
    let running = others.filter_map(|uid| {
        let instance = view.instance(*uid)?;
        match &instance.life {
            Life::Running { since, .. } => {
                Some((instance.draining.is_none(), instance.ready(), since.since_boot, *uid))
            }
            _ => None,
        }
    });
    running.max().map(|(.., uid)| uid)
}

/// The instance that a new one of the spec takes the place of.
pub(super) fn predecessor<'a>(
    view: &View<'a>,
    uid: InstanceUid,
    spec: &InstanceSpec,
) -> Option<&'a Instance> {
    let replica = spec.kind == InstanceKind::Replica;
    let before = incumbent(view, &spec.slot).filter(|before| replica && *before != uid)?;
    view.instance(before)
}

/// Whether a successor is there for good: fit for traffic, or done. What was no longer fit itself is not held for another.
fn has_come(view: &View<'_>, old: &Instance, successor: InstanceUid) -> bool {
    let Some(new) = view.instance(successor) else { return false };
    let runs = matches!(new.life, Life::Running { .. }) && !view.stopping(successor);
    let completed = matches!(new.life, Life::Ended { exit, .. } if Exit::success(exit))
        && view.due(successor) == Due::Stay;
    view.ready(successor) || completed || runs && !old.ready()
}

/// Why an instance of the spec can't start beside an old one of its slot.
pub(super) fn reasons(
    view: &View<'_>,
    old: &Instance,
    successor: InstanceUid,
    spec: &InstanceSpec,
) -> Vec<rollout::Reason> {
    let Some(birth) = Birth::of(view.spec, successor) else { return Vec::new() };
    let nothing = std::collections::BTreeSet::new();
    let shared_by = sharer(view, &spec.slot);
    let was = Side {
        handover: &old.birth.handover,
        addresses: &old.birth.addresses,
        listening: &old.listening,
        shared_by,
    };
    let is = Side { handover: &birth.handover, addresses: &spec.addresses, listening: &nothing, shared_by };
    let large = rollout::too_large(was.handover, is.handover, view.observed.memory);
    rollout::stop_first(was, is).into_iter().chain(large).collect()
}

/// A service that lives in the network namespace of the slot's service, in the spec or still.
fn sharer<'a>(view: &View<'a>, slot: &Slot) -> Option<&'a hoist_model::ServiceName> {
    let joins =
        |mode: &NetworkMode| matches!(mode, NetworkMode::Service(service) if *service == slot.service);
    let wanted = view.spec.instances.values().filter(|spec| spec.slot.stack == slot.stack);
    let mut wanted =
        wanted.filter(|spec| view.template(spec).is_some_and(|t| joins(&t.service.network_mode)));
    let seen = view.observed.instances.values().filter(|seen| seen.birth.slot.stack == slot.stack);
    let mut seen = seen.filter(|seen| joins(&seen.birth.handover.network));
    wanted.next().map(|spec| &spec.slot.service).or_else(|| seen.next().map(|seen| &seen.birth.slot.service))
}

/// Tells programs that nothing new comes to them, and looks again when a drain is over.
pub(super) fn drain(draft: &mut Draft<'_>) {
    for (uid, parting) in draft.view.partings() {
        draft.plan.parting.insert(uid, told(&draft.view, uid, parting));
        let Some(instance) = draft.view.instance(uid).filter(|_| parting == Parting::Drains) else {
            continue;
        };
        let Some(draining) = &instance.draining else { continue };
        draft.wake(draining.since.after(if draining.idle { NAMES } else { limit(instance) }));
        let signal = instance.birth.handover.drain_signal.clone();
        let due = !draining.signalled && draft.view.observed.keeper && is_relieved(&draft.view, instance);
        if due
            && hooks::before_stop(draft, uid)
            && let Some(signal) = signal
        {
            draft.want(Step::DrainInstance { uid, signal }, "it gets nothing new");
        }
    }
}

/// Whether the network is known to lead nothing new to an instance.
fn is_relieved(view: &View<'_>, instance: &Instance) -> bool {
    !view.observed.fabric.may_lead_to(instance.birth.addresses.values().flatten())
}

/// What an instance does, as it is told to others: it drains once the network has changed.
fn told(view: &View<'_>, uid: InstanceUid, parting: Parting) -> Parting {
    match view.instance(uid) {
        Some(instance) if parting == Parting::Drains && !is_relieved(view, instance) => Parting::Serves,
        _ => parting,
    }
}

/// From when on an instance without connections needs no more time.
pub(super) fn idle_from(draining: &Draining) -> Moment {
    draining.since.after(NAMES)
}

impl HostLoop {
    /// Why an instance of the spec can't start beside the one that it takes the place of; none where there is no such
    /// one. `before` is what was observed when it was planned: the old one may be told to end in the same turn.
    #[must_use]
    pub fn stop_first(&self, before: &Observed, now: &Now, uid: InstanceUid) -> Option<Vec<rollout::Reason>> {
        let spec = self.spec.instances.get(&uid).filter(|spec| spec.kind == InstanceKind::Replica)?;
        let view = View::new(&self.input(now, before));
        let old = incumbent(&view, &spec.slot).filter(|old| *old != uid)?;
        Some(reasons(&view, view.instance(old)?, uid, spec))
    }

    /// Notes which drains begin, and which are taken back because the successor is no longer ready.
    pub(super) fn note_drains(&mut self, now: &Now) {
        if self.observed.instances.keys().all(|uid| self.spec.instances.contains_key(uid)) {
            return;
        }
        let partings = View::new(&self.input(now, &self.observed)).partings();
        for (uid, parting) in partings {
            let Some(instance) = self.observed.instances.get_mut(&uid) else { continue };
            let before = instance.draining.clone();
            match parting {
                Parting::Drains => {
                    let begins = Draining { since: now.moment.clone(), signalled: false, idle: false };
                    instance.draining.get_or_insert(begins);
                }
                Parting::Serves => instance.draining = None,
            }
            if instance.draining != before {
                self.touched.insert(uid);
            }
        }
    }
}
