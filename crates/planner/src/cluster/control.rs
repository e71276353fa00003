//! The orchestrator's loop: inputs update what is wanted and known, then everything is planned anew.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{
    Failure, Generation, HostId, HostReport, HostSpec, Moment, Outcome, ServiceName, StackId, WantedStack,
};

use super::operation::Operation;
use super::publish::send;
use super::removal;
use super::retreat::goes_back;
use super::verdict::{self, Goal, Standing};
use super::{Effect, IdSource, Input, OpId, Restored, Rolling, StoreChange, UpRequest, events};
use crate::Now;
use crate::time::sooner;

/// One call of `step`: what it may use, and what comes of it.
pub(super) struct Turn<'a> {
    pub(super) now: &'a Now,
    pub(super) ids: &'a mut dyn IdSource,
    pub(super) effects: Vec<Effect>,
}

/// The state of the orchestrator.
#[derive(Debug)]
pub struct ClusterLoop {
    pub(super) known: Restored,
    pub(super) view: BTreeMap<HostId, HostReport>,
    /// `up`s whose images are being settled.
    pub(super) resolving: BTreeMap<OpId, UpRequest>,
    pub(super) operations: BTreeMap<StackId, Operation>,
    /// Stacks that the last plan could not plan: nothing said of them by a host is about what they should be.
    pub(super) waiting: BTreeSet<StackId>,
    pub(super) failures: BTreeMap<StackId, Vec<Failure>>,
    /// Hosts that follow a newer spec than ours, and which, until it is settled who leads.
    pub(super) ahead: BTreeMap<HostId, Generation>,
    /// Rollouts in which not every replica has had its turn.
    pub(super) rolling: BTreeMap<(StackId, ServiceName), Rolling>,
    /// When time alone changes the plan.
    pub(super) look_again: Option<Moment>,
    /// The next report may change the plan, not only the verdicts.
    pub(super) unsettled: bool,
}

impl ClusterLoop {
    /// Takes up what the store holds. The effects send every spec and all endpoints again.
    #[must_use]
    pub fn restore(restored: Restored) -> (Self, Vec<Effect>) {
        let endpoints = restored.endpoints.iter().map(|(host, endpoints)| Effect::PutEndpoints {
            host: host.clone(),
            endpoints: Box::new(endpoints.clone()),
        });
        let specs = restored
            .specs
            .iter()
            .map(|(host, spec)| Effect::PutSpec { host: host.clone(), spec: Box::new(spec.clone()) });
        let effects = endpoints.chain(specs).collect();
        let resumed = restored.stacks.iter();
        let resumed = resumed.filter_map(|(id, wanted)| Some((id.clone(), Operation::resumed(id, wanted)?)));
        let operations = resumed.collect();
        let this = Self {
            known: restored,
            view: BTreeMap::new(),
            resolving: BTreeMap::new(),
            operations,
            waiting: BTreeSet::new(),
            failures: BTreeMap::new(),
            ahead: BTreeMap::new(),
            rolling: BTreeMap::new(),
            look_again: None,
            unsettled: true,
        };
        (this, effects)
    }

    /// Takes in one input and returns what to do, in order.
    pub fn step(&mut self, now: &Now, input: Input, ids: &mut dyn IdSource) -> Vec<Effect> {
        let mut turn = Turn { now, ids, effects: Vec::new() };
        match input {
            Input::Request { op, request } => self.request(&mut turn, op, *request),
            Input::ImagesResolved { op, images } => self.resolved(&mut turn, op, images),
            Input::Report(report) => self.report(&mut turn, &report),
            Input::Outdated { host, current } => self.outdated(host, current),
            Input::PruneVolumes => self.prune(&mut turn),
            Input::Timer if !self.rolling.is_empty() => self.again(&mut turn),
            Input::Timer => {}
        }
        self.catch_up(&mut turn);
        self.judge(&mut turn);
        turn.effects
    }

    /// All that the store holds.
    #[must_use]
    pub fn known(&self) -> &Restored {
        &self.known
    }

    /// What is wanted.
    #[must_use]
    pub fn stacks(&self) -> &BTreeMap<StackId, WantedStack> {
        &self.known.stacks
    }

    /// The specs planned last.
    #[must_use]
    pub fn specs(&self) -> &BTreeMap<HostId, HostSpec> {
        &self.known.specs
    }

    /// The last report of each host.
    #[must_use]
    pub fn view(&self) -> &BTreeMap<HostId, HostReport> {
        &self.view
    }

    fn report(&mut self, turn: &mut Turn<'_>, report: &HostReport) {
        // Two connections may deliver out of order; what was seen later is true.
        let newer =
            |known: &HostReport| known.seen_at.since(&report.seen_at).is_some_and(|age| !age.is_zero());
        if self.view.get(&report.host).is_some_and(newer) {
            return;
        }
        let before = self.view.insert(report.host.clone(), report.clone());
        for event in events::between(before.as_ref(), report) {
            turn.effects.extend(self.operations.values_mut().filter_map(|operation| operation.tell(&event)));
        }
        // Planning is not free: a report matters when it brings what the last plan lacked.
        if self.unsettled || before.is_none_or(|before| before.routes != report.routes) {
            self.again(turn);
        }
    }

    fn again(&mut self, turn: &mut Turn<'_>) {
        let next = self.plan(turn);
        self.adopt(turn, next, None);
    }

    fn prune(&mut self, turn: &mut Turn<'_>) {
        let before = self.known.record.clone();
        self.known.record.pruned = removal::unnamed_volumes(&self.known.stacks, &self.view);
        let next = self.plan(turn);
        // What the plan has beyond it is stored.
        self.known.record = before;
        self.adopt(turn, next, None);
    }

    /// Ends operations that are over.
    fn judge(&mut self, turn: &mut Turn<'_>) {
        let mut wake = self.look_again.clone();
        let mut over = Vec::new();
        for (stack, operation) in &self.operations {
            let standing = match self.failures.get(stack) {
                Some(failures) => Standing::Failed(failures.clone()),
                None if self.waiting.contains(stack) => continue,
                None => {
                    // While replicas wait for their turn, one that ended holds them: that is a failure also without wait.
                    let wait = operation.goal.wait || self.rolls(&operation.goal, |_| true);
                    let goal = Goal { wait, ..operation.goal.clone() };
                    verdict::standing(&goal, &self.known.specs, &self.view, &turn.now.moment)
                }
            };
            match standing {
                Standing::Converged if self.rolls(&operation.goal, |_| true) => {}
                Standing::Failed(_) if self.rolls(&operation.goal, |rolling| rolling.forgiven) => {}
                Standing::Converged => over.push((stack.clone(), Outcome::Converged)),
                Standing::Failed(failures) => over.push((stack.clone(), Outcome::Failed(failures))),
                Standing::Pending(_, until) => wake = sooner(wake.take(), until),
            }
        }
        for (stack, outcome) in over {
            self.end(&stack, outcome, turn);
        }
        turn.effects.extend(wake.map(Effect::WakeAt));
    }

    /// Ends an operation. What history says of it is stored before anybody hears the verdict.
    fn end(&mut self, stack: &StackId, outcome: Outcome, turn: &mut Turn<'_>) {
        let Some(operation) = self.operations.remove(stack) else { return };
        if operation.revision.is_some_and(|revision| self.write_down(stack, revision, &outcome)) {
            let wanted = self.known.stacks.get(stack).cloned().map(Box::new);
            let stacks = BTreeMap::from([(stack.clone(), wanted)]);
            send(StoreChange { stacks, ..StoreChange::default() }, &mut turn.effects);
        }
        let back = self.way_back(&operation, &outcome);
        turn.effects.extend(back.as_ref().map(|(to, _)| operation.emit(goes_back(*to))));
        turn.effects.push(operation.verdict(outcome));
        if let Some((to, why)) = back {
            self.go_back_by_itself(turn, stack, to, why);
        }
    }

    /// A service that the operation moved has replicas whose turn comes later.
    fn rolls(&self, goal: &Goal, which: impl Fn(&Rolling) -> bool) -> bool {
        let mut all = self.rolling.iter();
        all.any(|((stack, service), rolling)| {
            *stack == goal.stack && goal.services.contains(service) && which(rolling)
        })
    }
}
