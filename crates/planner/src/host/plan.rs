//! One look at a host: what may be done now, what waits and for what, and when to look again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use hoist_model::{Endpoints, Failure, Healthcheck, HostSpec, InstanceUid, Moment, Parting, Phase, Waiting};

use super::order::StopOrder;
use super::traffic::Traffic;
use super::view::View;
use super::{FabricWanted, Observed, Planned, Step, Watching, Zone};
use super::{contents, fabric, gap, hooks, life, parting, phases, ready, resources, unfit, zone};
use crate::time::sooner;

/// Everything a host's plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct HostInput<'a> {
    /// What should be.
    pub spec: &'a HostSpec,
    /// Where services are.
    pub endpoints: &'a Endpoints,
    /// What is.
    pub observed: &'a Observed,
    /// Now.
    pub now: &'a Moment,
}

/// What to do next on one host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostPlan {
    /// Steps that may begin now, side by side.
    pub steps: Vec<Planned>,
    /// Instances that can't go on yet, and why.
    pub waiting: BTreeMap<InstanceUid, Waiting>,
    /// Instances that get no new traffic from now on, because they are about to be told to end.
    pub withdrawn: BTreeSet<InstanceUid>,
    /// Instances that end a gap which Hoist has made, and since when it is there.
    pub gaps: BTreeMap<InstanceUid, Moment>,
    /// What the operator should know of these steps, as sentences.
    pub warnings: Vec<String>,
    /// Where each existing instance stands, once the steps have begun.
    pub phases: BTreeMap<InstanceUid, Phase>,
    /// What can't be done.
    pub failures: Vec<Failure>,
    /// The network as it should be now.
    pub fabric: FabricWanted,
    /// The names.
    pub zone: Zone,
    /// Runs to probe.
    pub probing: BTreeMap<InstanceUid, Probing>,
    /// Runs to probe for whether they are to start anew.
    pub living: BTreeMap<InstanceUid, Probing>,
    /// Runs whose sockets to look at.
    pub watching: BTreeMap<InstanceUid, Watching>,
    /// What running instances of the spec lack to be fit for traffic.
    pub unready: BTreeMap<InstanceUid, String>,
    /// What instances do that left the spec and are not to end yet.
    pub parting: BTreeMap<InstanceUid, Parting>,
    /// Nothing to do, nothing under way, nothing waited for.
    pub settled: bool,
    /// Look again then, if nothing happens before.
    pub wake_at: Option<Moment>,
}

/// A run to probe: give these to [`super::Prober::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probing {
    /// Which start it is; results name it.
    pub attempt: u32,
    /// When the run began.
    pub since: Moment,
    /// How to probe.
    pub check: Healthcheck,
}

/// Plans the next steps of a host. Pure: equal inputs give equal plans.
///
/// What goes is planned before what comes, so that a name, an address or a place that is let go in this round is seen
/// as still held: it is taken in a later round, when its holder has ended.
#[must_use]
pub fn plan(input: &HostInput<'_>) -> HostPlan {
    let mut draft = Draft { view: View::new(input), plan: HostPlan::default() };
    life::mend(&mut draft);
    let order = StopOrder::of(&draft.view);
    parting::drain(&mut draft);
    life::stop(&mut draft, &order);
    life::remove(&mut draft, &order);
    resources::remove(&mut draft);
    resources::ensure(&mut draft);
    life::make(&mut draft);
    life::start(&mut draft);
    hooks::after_start(&mut draft);
    contents::renew(&mut draft);
    ready::note(&mut draft);
    gap::note(&mut draft);
    let Draft { view, mut plan } = draft;
    let traffic = Traffic::of(&view);
    plan.fabric = fabric::wanted(&view, &traffic, &plan.gaps);
    plan.zone = zone::wanted(&view, &traffic);
    plan.probing = phases::probing(&view);
    plan.living = unfit::living(&view);
    plan.watching = ready::watching(&view);
    phases::fill(&view, &mut plan);
    plan.settled = settled(&view, &plan);
    plan
}

fn settled(view: &View<'_>, plan: &HostPlan) -> bool {
    let restarting =
        plan.phases.values().any(|phase| matches!(phase, Phase::Restarting(_) | Phase::Stopping));
    let quiet = plan.steps.is_empty() && view.observed.in_flight.is_empty();
    quiet && plan.waiting.is_empty() && plan.failures.is_empty() && plan.parting.is_empty() && !restarting
}

/// A plan in the making.
pub(super) struct Draft<'a> {
    pub(super) view: View<'a>,
    pub(super) plan: HostPlan,
}

impl Draft<'_> {
    /// Plans a step, unless it is under way or its last failure says later or never. Says whether it did.
    pub(super) fn want(&mut self, step: Step, cause: impl Into<String>) -> bool {
        if self.view.under_way(&step) || self.held_back(&step) {
            return false;
        }
        self.view.begin(step.clone());
        self.plan.steps.push(Planned { step, cause: cause.into() });
        true
    }

    /// Takes an instance out of all traffic, from this plan on.
    pub(super) fn withdraw(&mut self, uid: InstanceUid) {
        self.view.withdraw(uid);
        self.plan.withdrawn.insert(uid);
    }

    fn held_back(&mut self, step: &Step) -> bool {
        let Some(fault) = self.view.observed.faults.get(step) else { return false };
        match &fault.retry {
            None => true,
            Some(retry)
                if retry.boot == self.view.now.boot && retry.since_boot > self.view.now.since_boot =>
            {
                self.wake(retry.clone());
                true
            }
            Some(_) => false,
        }
    }

    /// Makes sure that somebody looks again then.
    pub(super) fn wake(&mut self, at: Moment) {
        self.plan.wake_at = sooner(self.plan.wake_at.take(), Some(at));
    }

    pub(super) fn wait(&mut self, uid: InstanceUid, waiting: Waiting) {
        self.plan.waiting.insert(uid, waiting);
    }

    pub(super) fn uids(&self) -> Vec<InstanceUid> {
        let known = self.view.observed.instances.keys().chain(self.view.spec.instances.keys());
        known.copied().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl HostPlan {
    /// The plan as text, one line for each step and each wait: subject, action, because. Tests compare it.
    #[must_use]
    pub fn text(&self, input: &HostInput<'_>) -> String {
        let mut text = String::new();
        for Planned { step, cause } in &self.steps {
            let subject = step.instance().map_or_else(|| step.to_string(), |uid| named(input, uid, step));
            let _ = writeln!(text, "{subject}, because {cause}");
        }
        for (uid, waiting) in &self.waiting {
            let _ = writeln!(text, "{}: {waiting}", label(input, *uid));
        }
        for failure in &self.failures {
            let _ = writeln!(text, "{}: {}", failure.subject, failure.what);
        }
        text
    }
}

fn named(input: &HostInput<'_>, uid: InstanceUid, step: &Step) -> String {
    let text = step.to_string();
    let action = text.split_once(": ").map_or(text.as_str(), |(_, action)| action);
    format!("{}: {action}", label(input, uid))
}

fn label(input: &HostInput<'_>, uid: InstanceUid) -> String {
    let wanted = input.spec.instances.get(&uid).map(|spec| &spec.slot);
    let seen = input.observed.instances.get(&uid).map(|instance| &instance.birth.slot);
    let slot = wanted.or(seen).map_or_else(|| "stray".to_owned(), hoist_model::Slot::short);
    format!("{slot} {}", &uid.short()[..4])
}
