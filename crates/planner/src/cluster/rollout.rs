//! Which replicas of a service change now: `deploy.update_config`.
//!
//! A rollout is no script. In each round it is read off the last spec and the report which slots have the new definition
//! and how their instances do, and as many more get it as may. Where all change at once there is one round.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::{
    Exit, FailureAction, Health, HostReport, HostSpec, InstanceReport, InstanceSpec, InstanceUid, Moment,
    NetworkId, NetworkSpec, Phase, Update,
};

use super::Record;
use super::classify::{Desired, PlannedSlot};
use super::verdict::PATIENCE;
use crate::time::sooner;

/// What is known of the host for which a round is planned.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) previous: &'a HostSpec,
    pub(super) report: &'a HostReport,
    pub(super) record: &'a Record,
    /// The networks of the next spec.
    pub(super) networks: &'a BTreeMap<NetworkId, NetworkSpec>,
    pub(super) now: &'a Moment,
}

/// How the rollout of one service stands; only while there is something left to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rolling {
    /// So many replicas still have the former definition.
    pub left: usize,
    /// Instances failed, no more than may, or the file says to go on.
    pub forgiven: bool,
}

/// One round of a service.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) rolling: Option<Rolling>,
    /// Since when instances of it are ready, as far as that must be remembered.
    pub(super) ready: BTreeMap<InstanceUid, Moment>,
    /// When time alone lets the next one begin.
    pub(super) wake: Option<Moment>,
}

/// Puts the instances of the former definition back into the slots whose turn it isn't yet.
pub(super) fn pace(desired: &Desired<'_>, slots: &mut [PlannedSlot], seen: &Seen<'_>) -> Round {
    let update = &desired.service().update;
    if update.parallelism == 0 || !desired.running() {
        return Round::default();
    }
    let mut former: Vec<(usize, InstanceUid, &InstanceSpec)> = Vec::new();
    for (at, slot) in slots.iter().enumerate().filter(|(_, slot)| slot.kept.is_none()) {
        let mut there = seen.previous.instances.iter();
        let same = |(_, spec): &(&InstanceUid, &InstanceSpec)| {
            spec.slot == slot.spec.slot && spec.kind == slot.spec.kind
        };
        let old = there.find(same).filter(|(_, spec)| may_stay(spec, seen));
        former.extend(old.map(|(uid, spec)| (at, *uid, spec)));
    }
    if former.is_empty() {
        return Round::default();
    }
    let mut round = Round::default();
    let budget = budget(update, slots, seen, &mut round);
    // What doesn't serve anyway comes first.
    former.sort_by_key(|(at, uid, _)| {
        (standing(seen.report.instances.get(uid), seen.now) == Standing::Ready, *at)
    });
    let left = former.len().saturating_sub(budget.next);
    for (at, uid, spec) in former.into_iter().skip(budget.next) {
        slots[at] = PlannedSlot { kept: Some(uid), spec: spec.clone(), former: true };
    }
    round.rolling = (left > 0).then_some(Rolling { left, forgiven: budget.forgiven });
    round
}

/// An instance can't stay in a network that is made anew with other addresses.
fn may_stay(spec: &InstanceSpec, seen: &Seen<'_>) -> bool {
    let Some(template) = seen.previous.templates.get(&spec.template) else { return false };
    template.networks.values().all(|id| {
        let (was, is) = (seen.previous.networks.get(id), seen.networks.get(id));
        is.is_none_or(|is| was.is_some_and(|was| was.subnets == is.subnets))
    })
}

struct Budget {
    /// So many slots may change now.
    next: usize,
    forgiven: bool,
}

fn budget(update: &Update, slots: &[PlannedSlot], seen: &Seen<'_>, round: &mut Round) -> Budget {
    let (mut busy, mut failed) = (0, 0);
    for uid in slots.iter().filter_map(|slot| slot.kept) {
        match standing(seen.report.instances.get(&uid), seen.now) {
            Standing::Ready if is_settled(uid, update.delay, seen, round) => {}
            Standing::Ready | Standing::Begins => busy += 1,
            Standing::Failed => failed += 1,
        }
    }
    let few = failed * 1000 <= slots.len() * update.max_failure_per_mille as usize;
    let goes_on = failed == 0 || few || update.failure_action == FailureAction::Continue;
    let next = if goes_on { (update.parallelism as usize).saturating_sub(busy) } else { 0 };
    Budget { next, forgiven: failed > 0 && goes_on }
}

/// It has been ready for the delay.
fn is_settled(uid: InstanceUid, delay: Duration, seen: &Seen<'_>, round: &mut Round) -> bool {
    if delay.is_zero() {
        return true;
    }
    let since = seen.record.ready.get(&uid).filter(|since| since.boot == seen.now.boot).unwrap_or(seen.now);
    round.ready.insert(uid, since.clone());
    let until = since.after(delay);
    let over = seen.now.since_boot >= until.since_boot;
    if !over {
        round.wake = sooner(round.wake.take(), Some(until));
    }
    over
}

#[derive(PartialEq, Eq)]
enum Standing {
    Begins,
    Ready,
    Failed,
}

/// How an instance does, by what its host says. One that recovers is ready after all.
fn standing(seen: Option<&InstanceReport>, now: &Moment) -> Standing {
    let Some(seen) = seen else { return Standing::Begins };
    match &seen.phase {
        Phase::Running if seen.health == Health::Unhealthy => Standing::Failed,
        Phase::Running if seen.hooks_pending => Standing::Begins,
        Phase::Running if seen.unready.is_some() => {
            let age = seen.since.as_ref().and_then(|since| now.since(since));
            let late = seen.health == Health::None && age.is_some_and(|age| age >= PATIENCE);
            if late { Standing::Failed } else { Standing::Begins }
        }
        Phase::Running if seen.health == Health::Starting => Standing::Begins,
        Phase::Running => Standing::Ready,
        Phase::Exited if seen.exit.is_some_and(Exit::success) => Standing::Ready,
        Phase::Exited | Phase::Restarting(_) | Phase::Failed(_) => Standing::Failed,
        Phase::Waiting(_) | Phase::Starting | Phase::Stopping => Standing::Begins,
    }
}
