//! From a change of what is wanted to specs on their way: planned, stored, sent.

use std::collections::BTreeMap;

use hoist_model::{
    EventKind, Failure, HostReport, HostSpec, Intent, Outcome, Revision, RunIntent, Severity, StackId,
    WantedStack,
};

use super::control::{ClusterLoop, Turn};
use super::intent::Applied;
use super::operation::{Operation, ended, refused_for};
use super::verdict::Goal;
use super::{ClusterPlan, Effect, OpId, PlanInput, Restored, StoreChange, history, overlaps, plan, up};

/// A request applied, on its way.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) op: OpId,
    pub(super) stack: StackId,
    pub(super) applied: Applied,
    pub(super) wish: Wish,
}

impl ClusterLoop {
    /// Makes a change wanted, unless it can't be planned: then nothing is changed.
    pub(super) fn commit(&mut self, turn: &mut Turn<'_>, change: Change) {
        let Change { op, stack, applied, wish } = change;
        let Applied { wanted, services, retired, warnings } = applied;
        let before = self.known.stacks.insert(stack.clone(), wanted);
        let record = self.known.record.clone();
        self.known.record.retired.extend(retired);
        let next = self.plan(turn);
        if let Some(failures) = next.failures.get(&stack) {
            self.known.record = record;
            self.take_back(turn, &stack, before, wish.judged, failures);
            turn.effects.push(refused_for(op, &stack, failures.clone()));
            return;
        }
        let wanted = &self.known.stacks[&stack];
        let changed = (before.as_ref() != Some(wanted)).then(|| stack.clone());
        let goal = Goal { stack: stack.clone(), services, wait: wish.wait, removal: wish.removal };
        let operation = Operation::new(op, goal, wanted).judging(wish.judged.then(|| up::newest(wanted)));
        let overlaps = if wish.removal { Vec::new() } else { self.overlaps(&operation.goal.stack) };
        let warnings = warnings.into_iter().chain(overlaps).map(|text| operation.emit(warning(text)));
        let mut told: Vec<Effect> = warnings.collect();
        told.extend(self.overtaken(op, &stack));
        let revision = operation.revision;
        let older = self.operations.insert(stack.clone(), operation);
        let mut changed = changed;
        if let Some(older) = &older {
            told.push(older.verdict(Outcome::Superseded));
            let left = older.revision.filter(|_| revision.is_none());
            if left.is_some_and(|left| self.write_down(&stack, left, &Outcome::Superseded)) {
                changed = Some(stack);
            }
        }
        let before = turn.effects.len();
        self.adopt(turn, next, changed);
        // Whoever is told of a change must find it after any kill; a verdict on it comes last.
        let stores = |effect: &Effect| matches!(effect, Effect::Store(_));
        let stored = turn.effects[before..].iter().position(stores).map_or(before, |at| before + at + 1);
        turn.effects.splice(stored..stored, told);
    }

    /// An `up` that was asked for earlier and still waits for its images comes too late: it would take the place of what
    /// was asked for last.
    fn overtaken(&mut self, op: OpId, stack: &StackId) -> Vec<Effect> {
        let earlier = self.resolving.iter().filter(|(other, up)| **other < op && up.stack.id == *stack);
        let overtaken: Vec<OpId> = earlier.map(|(other, _)| *other).collect();
        self.resolving.retain(|other, _| !overtaken.contains(other));
        overtaken.into_iter().map(|other| ended(other, stack, Outcome::Superseded)).collect()
    }

    /// Makes what was wanted before wanted again; of a new revision, history tells why it came to nothing.
    fn take_back(
        &mut self,
        turn: &mut Turn<'_>,
        stack: &StackId,
        before: Option<WantedStack>,
        judged: bool,
        failures: &[Failure],
    ) {
        let tried = self.known.stacks.remove(stack);
        let Some(before) = before else { return };
        let entry = tried.filter(|_| judged).and_then(|mut tried| tried.history.pop_last());
        let entry = entry.filter(|(number, _)| !before.history.contains_key(number));
        self.known.stacks.insert(stack.clone(), before);
        if let Some((_, entry)) = entry {
            self.refuse(turn, stack, entry, failures);
        }
    }

    /// Writes into the history how a revision ended. Whether that changed anything.
    pub(super) fn write_down(&mut self, stack: &StackId, revision: Revision, outcome: &Outcome) -> bool {
        let wanted = self.known.stacks.get_mut(stack);
        wanted.is_some_and(|wanted| history::judge(wanted, revision, outcome))
    }

    /// What to tell of a stack's networks.
    fn overlaps(&self, stack: &StackId) -> Vec<String> {
        let specs = self.known.specs.iter().filter_map(|(host, spec)| Some((spec, self.view.get(host)?)));
        let of_stack = |(spec, report): (&HostSpec, &HostReport)| {
            let mut found = overlaps(spec, report);
            found.retain(|id, _| spec.networks.get(id).is_some_and(|network| network.users.contains(stack)));
            found.into_values().collect::<Vec<String>>()
        };
        specs.flat_map(of_stack).collect()
    }

    pub(super) fn plan(&self, turn: &mut Turn<'_>) -> ClusterPlan {
        let Restored { stacks, specs, endpoints, record, pool, leadership } = &self.known;
        let input = PlanInput {
            wanted: stacks,
            view: &self.view,
            previous: specs,
            endpoints,
            record,
            pool,
            leadership: *leadership,
            now: &turn.now.moment,
        };
        plan(&input, turn.ids)
    }

    /// Takes a plan over: stored first, then sent.
    pub(super) fn adopt(&mut self, turn: &mut Turn<'_>, next: ClusterPlan, changed: Option<StackId>) {
        let mut change = StoreChange::default();
        for (stack, service) in &next.gone_services {
            let wanted = self.known.stacks.get_mut(stack);
            // A stack that goes as a whole keeps its services until it has gone.
            if let Some(wanted) = wanted.filter(|wanted| wanted.removal.is_none()) {
                wanted.intents.remove(service);
                change.stacks.insert(stack.clone(), None);
            }
        }
        change.stacks.extend(changed.into_iter().map(|id| (id, None)));
        for id in &next.gone {
            self.known.stacks.remove(id);
            change.stacks.insert(id.clone(), None);
        }
        for (id, stored) in &mut change.stacks {
            *stored = self.known.stacks.get(id).cloned().map(Box::new);
        }
        let pruning = !next.record.pruned.is_empty();
        self.unsettled = pruning || !next.waiting.is_empty() || !next.failures.is_empty() || self.leaving();
        self.waiting = next.waiting.keys().cloned().collect();
        self.failures = next.failures;
        self.unsettled |= !next.rolling.is_empty();
        self.rolling = next.rolling;
        self.look_again = next.wake_at;
        change.specs = differing(&self.known.specs, next.specs);
        change.endpoints = differing(&self.known.endpoints, next.endpoints);
        change.record = (next.record != self.known.record).then_some(next.record);
        self.known.specs.extend(change.specs.clone());
        self.known.endpoints.extend(change.endpoints.clone());
        if let Some(record) = &change.record {
            self.known.record = record.clone();
        }
        send(change, &mut turn.effects);
        let over = next.gone.iter().filter_map(|id| self.operations.remove(id));
        turn.effects.extend(over.map(|operation| operation.verdict(Outcome::Converged)));
    }

    /// Something is to be removed of which the host still has to say that it is gone.
    fn leaving(&self) -> bool {
        self.known.stacks.values().any(|wanted| {
            let absent = |intent: &Intent| intent.run == RunIntent::Absent;
            wanted.removal.is_some() || wanted.intents.values().any(absent)
        })
    }
}

/// What an operation wants besides the change itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish {
    pub(super) wait: bool,
    pub(super) removal: bool,
    /// History tells how the newest revision ended.
    pub(super) judged: bool,
}

fn differing<K: Ord + Clone, V: PartialEq>(known: &BTreeMap<K, V>, next: BTreeMap<K, V>) -> BTreeMap<K, V> {
    next.into_iter().filter(|(key, value)| known.get(key) != Some(value)).collect()
}

/// Stores, then sends. Endpoints go first: an instance finds the names it needs.
pub(super) fn send(change: StoreChange, effects: &mut Vec<Effect>) {
    if change == StoreChange::default() {
        return;
    }
    let (specs, endpoints) = (change.specs.clone(), change.endpoints.clone());
    effects.push(Effect::Store(change));
    for (host, endpoints) in endpoints {
        effects.push(Effect::PutEndpoints { host, endpoints: Box::new(endpoints) });
    }
    for (host, spec) in specs {
        effects.push(Effect::PutSpec { host, spec: Box::new(spec) });
    }
}

pub(super) fn warning(text: String) -> EventKind {
    EventKind::Notice { severity: Severity::Warning, text, hint: None }
}
