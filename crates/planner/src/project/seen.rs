//! What a look ahead notes of a host on the way: its steps, what waited for what, and when nobody answered.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{InstanceUid, ServiceName, Slot, StackId, TemplateHash, WantedRun};

use crate::Now;
use crate::host::{HostLoop, Observed, Planned, Step};
use crate::rollout::Reason;

/// A step, when it may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// Steps of one round begin side by side; from 1.
    pub round: u32,
    /// What.
    pub step: Step,
    /// The place of the instance that it is about.
    pub slot: Option<Slot>,
    /// Why.
    pub cause: String,
}

/// What was seen of all hosts.
#[derive(Debug, Clone, Default)]
pub struct Sights {
    /// The steps in the order in which they begin.
    pub steps: Vec<Foreseen>,
    /// What instances waited for, as sentence parts.
    pub waits: BTreeMap<Slot, BTreeSet<String>>,
    /// Services of which for a while no instance was fit for traffic, though one was before and one is wanted.
    pub gaps: BTreeSet<(StackId, ServiceName)>,
    /// Why a new instance could not start beside the one before it; nothing where it could.
    pub orders: BTreeMap<Slot, Vec<Reason>>,
    /// The most memory that the instances of each stack had at one time by their limits, in bytes.
    pub memory: BTreeMap<StackId, u64>,
}

/// The notes in the making.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) sights: Sights,
    round: u32,
    serving: BTreeSet<(StackId, ServiceName)>,
    limits: BTreeMap<TemplateHash, u64>,
}

impl Seen {
    /// Looks at a host that has just planned, when it had observed this before.
    pub(super) fn look(&mut self, host: &HostLoop, before: &Observed, now: &Now) {
        self.steps(host, before, now);
        self.gaps(host);
        self.memory(host);
        for (uid, waiting) in &host.plan().waiting {
            if let Some(slot) = slot(host, *uid) {
                let text = waiting.to_string();
                let text = text.strip_prefix("waiting for ").unwrap_or(&text).to_owned();
                self.sights.waits.entry(slot).or_default().insert(text);
            }
        }
    }

    fn steps(&mut self, host: &HostLoop, before: &Observed, now: &Now) {
        self.round += u32::from(!host.plan().steps.is_empty());
        for Planned { step, cause } in &host.plan().steps {
            let slot = step.instance().and_then(|uid| slot(host, uid));
            if let (Some(heir), Some(slot)) = (heir(host, before, step, slot.as_ref()), &slot)
                && let Some(reasons) = host.stop_first(before, now, heir)
            {
                self.sights.orders.entry(slot.clone()).or_insert(reasons);
            }
            let (round, step, cause) = (self.round, step.clone(), cause.clone());
            self.sights.steps.push(Foreseen { round, step, slot, cause });
        }
    }

    fn gaps(&mut self, host: &HostLoop) {
        let key = |slot: &Slot| (slot.stack.clone(), slot.service.clone());
        let observed = host.observed();
        let fit = observed
            .instances
            .iter()
            .filter(|(uid, seen)| seen.ready() && !host.plan().withdrawn.contains(*uid));
        let serving: BTreeSet<_> = fit.map(|(_, seen)| key(&seen.birth.slot)).collect();
        let mut lost = self.serving.difference(&serving).peekable();
        if lost.peek().is_some() {
            let wanted = host.spec().instances.values().filter(|spec| spec.run == WantedRun::Running);
            let wanted: BTreeSet<_> = wanted.map(|spec| key(&spec.slot)).collect();
            self.sights.gaps.extend(lost.filter(|one| wanted.contains(*one)).cloned());
        }
        self.serving = serving;
    }

    fn memory(&mut self, host: &HostLoop) {
        for (hash, template) in &host.spec().templates {
            if let Some(limit) = template.service.resources.memory {
                self.limits.insert(*hash, limit);
            }
        }
        if self.limits.is_empty() {
            return;
        }
        let mut now: BTreeMap<StackId, u64> = BTreeMap::new();
        for seen in host.observed().instances.values().filter(|seen| seen.alive()) {
            let limit = self.limits.get(&seen.birth.template).copied().unwrap_or(0);
            *now.entry(seen.birth.slot.stack.clone()).or_default() += limit;
        }
        for (stack, sum) in now {
            let most = self.sights.memory.entry(stack).or_default();
            *most = sum.max(*most);
        }
    }
}

/// Who takes a place, as soon as that is to be seen: it is laid out, or the one before it is told to end.
fn heir(host: &HostLoop, before: &Observed, step: &Step, slot: Option<&Slot>) -> Option<InstanceUid> {
    match step {
        Step::CreateInstance(uid) => Some(*uid),
        Step::SignalInstance { uid, .. } => {
            let mut all = host.spec().instances.iter();
            let next = all.find(|(other, spec)| *other != uid && Some(&spec.slot) == slot);
            next.map(|(other, _)| *other).filter(|other| !before.instances.contains_key(other))
        }
        _ => None,
    }
}

fn slot(host: &HostLoop, uid: InstanceUid) -> Option<Slot> {
    let wanted = host.spec().instances.get(&uid).map(|spec| &spec.slot);
    let seen = host.observed().instances.get(&uid).map(|seen| &seen.birth.slot);
    wanted.or(seen).cloned()
}
