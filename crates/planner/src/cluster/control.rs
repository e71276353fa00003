//! The orchestrator's loop: inputs update what is wanted and known, then everything is planned anew.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{
    EventKind, Failure, Generation, HostId, HostReport, HostSpec, Outcome, ServiceName, Severity, StackId,
    Subject, WantedStack,
};

use super::intent::{self, Applied, Put};
use super::operation::{Operation, refused_for};
use super::verdict::{self, Goal, Standing};
use super::{
    ClusterPlan, Effect, IdSource, Input, OpId, PlanInput, Refusal, RefusalKind, Request, Restored,
    StoreChange, UpRequest, events, plan,
};
use crate::Now;
use crate::time::sooner;

/// The state of the orchestrator.
#[derive(Debug)]
pub struct ClusterLoop {
    known: Restored,
    view: BTreeMap<HostId, HostReport>,
    /// `up`s whose images are being settled.
    resolving: BTreeMap<OpId, UpRequest>,
    operations: BTreeMap<StackId, Operation>,
    /// Why the next report may change the plan, not only the verdicts.
    unsettled: bool,
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
        let this = Self {
            known: restored,
            view: BTreeMap::new(),
            resolving: BTreeMap::new(),
            operations: BTreeMap::new(),
            unsettled: true,
        };
        (this, effects)
    }

    /// Takes in one input and returns what to do, in order.
    pub fn step(&mut self, now: &Now, input: Input, ids: &mut dyn IdSource) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Request { op, request } => self.request(now, op, *request, ids, &mut effects),
            Input::ImagesResolved { op, images } => self.resolved(now, op, images, ids, &mut effects),
            Input::Report(report) => self.report(now, *report, ids, &mut effects),
            Input::Outdated { host, current } => self.outdated(&host, current, &mut effects),
            Input::Timer => {}
        }
        self.judge(&mut effects);
        self.kill(now, &mut effects);
        effects
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

    fn request(
        &mut self,
        now: &Now,
        op: OpId,
        request: Request,
        ids: &mut dyn IdSource,
        effects: &mut Vec<Effect>,
    ) {
        let applied = match request {
            Request::Up(up) => return self.resolve(op, up, effects),
            Request::Down { stack, services, volumes, timeout } => {
                if !self.known.stacks.contains_key(&stack) {
                    return nothing_to_remove(op, &stack, effects);
                }
                let removal = services.is_empty();
                self.apply(&stack, |wanted, _| intent::down(wanted, &stack, &services, volumes))
                    .map(|applied| (stack.clone(), applied, Wish { timeout, removal, wait: false }))
            }
            Request::Stop { stack, services, timeout } => self
                .apply(&stack, |wanted, view| intent::stop(wanted, &stack, &services, view))
                .map(|applied| (stack.clone(), applied, Wish { timeout, ..Wish::default() })),
            Request::Start { stack, services, wait } => self
                .apply(&stack, |wanted, view| intent::start(wanted, &stack, &services, view))
                .map(|applied| (stack.clone(), applied, Wish { wait, ..Wish::default() })),
            Request::Restart { stack, services, no_deps, timeout } => self
                .apply(&stack, |wanted, _| intent::restart(wanted, &stack, &services, no_deps))
                .map(|applied| (stack.clone(), applied, Wish { timeout, ..Wish::default() })),
        };
        match applied {
            Ok((stack, applied, wish)) => self.commit(now, op, &stack, applied, wish, ids, effects),
            Err(refusal) => effects.push(Effect::Refuse { op, refusal }),
        }
    }

    fn apply(
        &self,
        stack: &StackId,
        change: impl FnOnce(&WantedStack, &intent::View) -> Result<Applied, Refusal>,
    ) -> Result<Applied, Refusal> {
        match self.known.stacks.get(stack) {
            Some(wanted) => change(wanted, &self.view),
            None => Err(Refusal {
                kind: RefusalKind::NotFound,
                message: format!("there is no stack {stack}"),
                hint: Some("`hoist up` makes one".to_owned()),
            }),
        }
    }

    /// The first half of `up`: images are settled before anything is changed.
    fn resolve(&mut self, op: OpId, up: UpRequest, effects: &mut Vec<Effect>) {
        let newest = self.known.stacks.get(&up.stack.id).and_then(|wanted| wanted.revisions.last_key_value());
        let newest = newest.map(|(number, _)| *number);
        if up.expected.is_some() && up.expected != newest {
            let refusal = Refusal {
                kind: RefusalKind::Conflict,
                message: format!("stack {} was changed by somebody else in the meantime", up.stack.id),
                hint: Some("look at it and run the command again".to_owned()),
            };
            return effects.push(Effect::Refuse { op, refusal });
        }
        match intent::moved(&up.stack, &up.options) {
            Err(refusal) => effects.push(Effect::Refuse { op, refusal }),
            Ok(services) => {
                let images = super::input::images(&up.stack, &services);
                self.resolving.insert(op, up);
                effects.push(Effect::ResolveImages { op, images });
            }
        }
    }

    /// The second half of `up`.
    fn resolved(
        &mut self,
        now: &Now,
        op: OpId,
        images: BTreeMap<ServiceName, Result<hoist_model::ResolvedImage, Failure>>,
        ids: &mut dyn IdSource,
        effects: &mut Vec<Effect>,
    ) {
        let Some(up) = self.resolving.remove(&op) else { return };
        let stack = up.stack.id.clone();
        let failures: Vec<Failure> =
            images.values().filter_map(|image| image.as_ref().err()).cloned().collect();
        if !failures.is_empty() {
            return effects.push(refused_for(op, &stack, failures));
        }
        let images = images.into_iter().filter_map(|(name, image)| Some((name, image.ok()?))).collect();
        let UpRequest { stack: lowered, options, project_dir, files, .. } = up;
        let put = Put { stack: lowered, images, project_dir, files, created: now.wall };
        let wish = Wish { wait: options.wait, ..Wish::default() };
        match intent::up(self.known.stacks.get(&stack), put, &options, &self.view) {
            Ok(applied) => self.commit(now, op, &stack, applied, wish, ids, effects),
            Err(refusal) => effects.push(Effect::Refuse { op, refusal }),
        }
    }

    /// Makes a change wanted, unless it can't be planned: then nothing is changed.
    #[allow(clippy::too_many_arguments, reason = "one request, whole; a struct would be taken apart at once")]
    fn commit(
        &mut self,
        now: &Now,
        op: OpId,
        stack: &StackId,
        applied: Applied,
        wish: Wish,
        ids: &mut dyn IdSource,
        effects: &mut Vec<Effect>,
    ) {
        let Applied { wanted, services, retired, warnings } = applied;
        let before = self.known.stacks.insert(stack.clone(), wanted);
        let record = self.known.record.clone();
        self.known.record.retired.extend(retired);
        let next = self.plan(now, ids);
        if let Some(failures) = next.failures.get(stack) {
            match before {
                Some(before) => drop(self.known.stacks.insert(stack.clone(), before)),
                None => drop(self.known.stacks.remove(stack)),
            }
            self.known.record = record;
            return effects.push(refused_for(op, stack, failures.clone()));
        }
        let goal = Goal { stack: stack.clone(), services, wait: wish.wait, removal: wish.removal };
        let wanted = &self.known.stacks[stack];
        let operation = Operation::new(op, goal, wanted, wish.timeout);
        effects.extend(warnings.into_iter().map(|text| operation.emit(warning(text))));
        if let Some(older) = self.operations.insert(stack.clone(), operation) {
            effects.push(older.verdict(Outcome::Superseded));
        }
        self.adopt(next, BTreeSet::from([stack.clone()]), effects);
    }

    fn plan(&self, now: &Now, ids: &mut dyn IdSource) -> ClusterPlan {
        let Restored { stacks, specs, endpoints, record, pool, leadership } = &self.known;
        let input = PlanInput {
            wanted: stacks,
            view: &self.view,
            previous: specs,
            endpoints,
            record,
            pool,
            leadership: *leadership,
            now: &now.moment,
        };
        plan(&input, ids)
    }

    /// Takes a plan over: stored first, then sent.
    fn adopt(&mut self, next: ClusterPlan, changed: BTreeSet<StackId>, effects: &mut Vec<Effect>) {
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
        self.unsettled = !next.waiting.is_empty() || !next.failures.is_empty() || self.leaving();
        change.specs = differing(&self.known.specs, next.specs);
        change.endpoints = differing(&self.known.endpoints, next.endpoints);
        change.record = (next.record != self.known.record).then_some(next.record);
        self.known.specs.extend(change.specs.clone());
        self.known.endpoints.extend(change.endpoints.clone());
        if let Some(record) = &change.record {
            self.known.record = record.clone();
        }
        send(change, effects);
        let over = next.gone.iter().filter_map(|id| self.operations.remove(id));
        effects.extend(over.map(|operation| operation.verdict(Outcome::Converged)));
    }

    /// Something is to be removed of which the host still has to say that it is gone.
    fn leaving(&self) -> bool {
        self.known.stacks.values().any(|wanted| {
            let absent = |intent: &hoist_model::Intent| intent.run == hoist_model::RunIntent::Absent;
            wanted.removal.is_some() || wanted.intents.values().any(absent)
        })
    }

    fn report(&mut self, now: &Now, report: HostReport, ids: &mut dyn IdSource, effects: &mut Vec<Effect>) {
        // Two connections may deliver out of order; what was seen later is true.
        let newer =
            |known: &HostReport| known.seen_at.since(&report.seen_at).is_some_and(|age| !age.is_zero());
        if self.view.get(&report.host).is_some_and(newer) {
            return;
        }
        let before = self.view.insert(report.host.clone(), report.clone());
        for event in events::between(before.as_ref(), &report) {
            effects.extend(self.operations.values_mut().filter_map(|operation| operation.tell(&event)));
        }
        // Planning is not free: a report matters when it brings what the last plan lacked.
        if self.unsettled || before.is_none_or(|before| before.routes != report.routes) {
            let next = self.plan(now, ids);
            self.adopt(next, BTreeSet::new(), effects);
        }
    }

    /// A host that has a newer spec follows somebody else, or our store was restored from a backup. Never overtaken.
    fn outdated(&mut self, host: &HostId, current: Generation, effects: &mut Vec<Effect>) {
        let failure = Failure {
            subject: Subject::Host,
            what: format!("host {host} has accepted spec {current}, which is newer than what is stored here"),
            hint: Some("another orchestrator leads it, or the store was restored from a backup".to_owned()),
            permanent: true,
        };
        for (_, operation) in std::mem::take(&mut self.operations) {
            effects.push(operation.verdict(Outcome::Failed(vec![failure.clone()])));
        }
    }

    /// Ends operations that are over.
    fn judge(&mut self, effects: &mut Vec<Effect>) {
        let (specs, view) = (&self.known.specs, &self.view);
        self.operations.retain(|_, operation| {
            let outcome = match verdict::standing(&operation.goal, specs, view) {
                Standing::Converged => Outcome::Converged,
                Standing::Failed(failures) => Outcome::Failed(failures),
                Standing::Pending(_) => return true,
            };
            effects.push(operation.verdict(outcome));
            false
        });
    }

    /// Kills what has outlived the person's patience.
    fn kill(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        let mut wake = None;
        for operation in self.operations.values_mut() {
            for (host, report) in &self.view {
                wake = sooner(wake, operation.kill(host, report, &now.moment, effects));
            }
        }
        effects.extend(wake.map(Effect::WakeAt));
    }
}

/// What an operation wants besides the change itself.
#[derive(Debug, Default)]
struct Wish {
    wait: bool,
    removal: bool,
    timeout: Option<std::time::Duration>,
}

fn differing<K: Ord + Clone, V: PartialEq>(known: &BTreeMap<K, V>, next: BTreeMap<K, V>) -> BTreeMap<K, V> {
    next.into_iter().filter(|(key, value)| known.get(key) != Some(value)).collect()
}

/// Stores, then sends. Endpoints go first: an instance finds the names it needs.
fn send(change: StoreChange, effects: &mut Vec<Effect>) {
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

fn warning(text: String) -> EventKind {
    EventKind::Notice { severity: Severity::Warning, text, hint: None }
}

fn nothing_to_remove(op: OpId, stack: &StackId, effects: &mut Vec<Effect>) {
    let text = format!("there is nothing to remove: no stack {stack}");
    effects.push(Effect::Emit { op, stack: stack.clone(), event: warning(text) });
    let verdict = hoist_model::Verdict { outcome: Outcome::Converged, changed: 0 };
    effects.push(Effect::Emit { op, stack: stack.clone(), event: EventKind::Verdict(verdict) });
}
