//! The agent's loop: inputs update what is known, then everything is planned anew.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{Endpoints, Guards, HostId, HostReport, HostSpec, InstanceUid, Moment, NetworkId};
use ipnetwork::IpNetwork;

use super::{
    Effect, FabricWanted, HostInput, HostPlan, Input, JournalEntry, Observed, Probing, PublishSeen, Restored,
    Step, Watching, Zone, plan, report, transition,
};
use crate::Now;
use crate::time::sooner;

/// The state of one host's agent.
#[derive(Debug, Clone)]
pub struct HostLoop {
    pub(super) host: HostId,
    pub(super) spec: HostSpec,
    pub(super) endpoints: Endpoints,
    pub(super) observed: Observed,
    /// What is started now is guarded so.
    pub(super) guards: Guards,
    /// The epoch that an end found by the first adoption belongs to: it happened before this start.
    pub(super) found_epoch: u64,
    /// What exists is known: before that, nothing may be planned, or what runs would be started again.
    pub(super) adopted: bool,
    /// Subnets of networks being made: the spec may change before they are done.
    pub(super) making: BTreeMap<NetworkId, Vec<IpNetwork>>,
    /// Instances whose journal entries are out of date.
    pub(super) touched: BTreeSet<InstanceUid>,
    pub(super) plan: HostPlan,
    pub(super) shown: Shown,
}

/// What the shell was told last: only differences are told again.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub(super) fabric: Option<FabricWanted>,
    zone: Option<Zone>,
    probing: Option<BTreeMap<InstanceUid, Probing>>,
    living: Option<BTreeMap<InstanceUid, Probing>>,
    watching: Option<BTreeMap<InstanceUid, Watching>>,
    report: Option<HostReport>,
    pub(super) wake: Option<Moment>,
}

impl HostLoop {
    /// Takes up where the journal ends. Nothing is planned until the first [`Input::Adopted`].
    #[must_use]
    pub fn restore(restored: Restored, _now: &Now) -> (Self, Vec<Effect>) {
        let mut host = transition::restored(restored);
        let daemon = JournalEntry::Daemon { epoch: host.observed.epoch, boot: host.observed.boot.clone() };
        let mut effects = vec![Effect::Journal(daemon)];
        host.journal(&mut effects);
        (host, effects)
    }

    /// Takes in one input and returns what to do, in order.
    pub fn step(&mut self, now: &Now, input: Input) -> Vec<Effect> {
        self.step_all(now, [input])
    }

    /// Takes in several inputs that are there at once, and plans once.
    pub fn step_all(&mut self, now: &Now, inputs: impl IntoIterator<Item = Input>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for input in inputs {
            self.absorb(now, input, &mut effects);
        }
        if self.adopted {
            self.replan(now, &mut effects);
        } else {
            self.journal(&mut effects);
        }
        effects
    }

    /// The accepted spec.
    #[must_use]
    pub fn spec(&self) -> &HostSpec {
        &self.spec
    }

    /// The accepted endpoints.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What is known.
    #[must_use]
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// The last plan.
    #[must_use]
    pub fn plan(&self) -> &HostPlan {
        &self.plan
    }

    /// What a plan depends on, with what was observed now or before.
    #[must_use]
    pub fn input<'a>(&'a self, now: &'a Now, observed: &'a Observed) -> HostInput<'a> {
        HostInput { spec: &self.spec, endpoints: &self.endpoints, observed, now: &now.moment }
    }

    /// What the host reports now.
    #[must_use]
    pub fn report(&self, now: &Now) -> HostReport {
        let report = report::report(&self.host, &self.observed, &self.plan, now);
        HostReport {
            generation: self.spec.generation,
            settled: report.settled && self.adopted,
            guards: self.guards,
            ..report
        }
    }

    /// Plans, begins the steps, and tells what changed. Journal entries go first: what was begun must be known after a
    /// crash. The network goes before the steps: names lead away from an instance before it is told to end.
    fn replan(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        self.satisfy_starts();
        self.note_dependencies(now);
        self.note_ready(now);
        self.note_drains(now);
        self.plan = plan(&self.input(now, &self.observed));
        self.withdraw(now);
        let steps: Vec<Step> = self.plan.steps.iter().map(|planned| planned.step.clone()).collect();
        for step in &steps {
            self.begin(now, step);
        }
        self.note_gaps();
        self.journal(effects);
        self.show_network(effects);
        effects.extend(self.plan.warnings.iter().cloned().map(Effect::Warn));
        effects.extend(steps.into_iter().map(Effect::Perform));
        self.show_probes(effects);
        self.show_report(now, effects);
        self.show_wake(effects);
    }

    /// Notes since when each instance gets no new traffic.
    fn withdraw(&mut self, now: &Now) {
        let before = std::mem::take(&mut self.observed.withdrawn);
        let since = |uid| before.get(uid).unwrap_or(&now.moment).clone();
        self.observed.withdrawn = self.plan.withdrawn.iter().map(|uid| (*uid, since(uid))).collect();
    }

    pub(super) fn journal(&mut self, effects: &mut Vec<Effect>) {
        for uid in std::mem::take(&mut self.touched) {
            effects.push(Effect::Journal(match self.observed.instances.get(&uid) {
                Some(instance) => JournalEntry::Instance(uid, Box::new(instance.clone())),
                None => JournalEntry::Gone(uid),
            }));
        }
    }

    fn show_network(&mut self, effects: &mut Vec<Effect>) {
        if self.shown.fabric.as_ref() != Some(&self.plan.fabric) {
            self.shown.fabric = Some(self.plan.fabric.clone());
            let wanted = Box::new(self.plan.fabric.clone());
            effects.push(Effect::ApplyFabric { number: self.observed.fabric.send(&wanted), wanted });
        }
        if self.shown.zone.as_ref() != Some(&self.plan.zone) {
            self.shown.zone = Some(self.plan.zone.clone());
            effects.push(Effect::PublishZone(Box::new(self.plan.zone.clone())));
        }
    }

    fn show_probes(&mut self, effects: &mut Vec<Effect>) {
        if self.shown.probing.as_ref() != Some(&self.plan.probing) {
            self.shown.probing = Some(self.plan.probing.clone());
            effects.push(Effect::Probe(self.plan.probing.clone()));
        }
        if self.shown.living.as_ref() != Some(&self.plan.living) {
            self.shown.living = Some(self.plan.living.clone());
            effects.push(Effect::ProbeLiveness(self.plan.living.clone()));
        }
        if self.shown.watching.as_ref() != Some(&self.plan.watching) {
            self.shown.watching = Some(self.plan.watching.clone());
            effects.push(Effect::Watch(self.plan.watching.clone()));
        }
    }

    fn show_report(&mut self, now: &Now, effects: &mut Vec<Effect>) {
        let report = self.report(now);
        let same = self.shown.report.as_ref().is_some_and(|shown| {
            // The time alone is no news.
            HostReport { seen_at: report.seen_at.clone(), ..shown.clone() } == report
        });
        if !same {
            self.shown.report = Some(report.clone());
            effects.push(Effect::Report(Box::new(report)));
        }
    }

    fn show_wake(&mut self, effects: &mut Vec<Effect>) {
        let refused = self.observed.published.values().filter_map(|seen| match seen {
            PublishSeen::Refused(fault) => fault.retry.clone(),
            PublishSeen::Reserved(_) => None,
        });
        let refused = refused.chain(self.observed.fabric.retry());
        let wake = refused.fold(self.plan.wake_at.clone(), |wake, retry| sooner(wake, Some(retry)));
        if wake.is_some() && wake != self.shown.wake {
            self.shown.wake.clone_from(&wake);
            effects.extend(wake.map(Effect::WakeAt));
        }
    }
}
