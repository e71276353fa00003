//! What will come of a spec: the agent's loop driven under an oracle that says how everything turns out, until nothing
//! happens any more; [`cluster`] drives the orchestrator's loop and its hosts' together. Previews (`hoist plan`) and
//! property tests are these functions.

mod cluster;
mod seen;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use hoist_model::{
    Endpoints, Exit, Health, HostReport, HostSpec, InstanceUid, Listener, Moment, Port, PublishedReport, Slot,
};

pub use self::cluster::{ClusterProjection, Scene, cluster};
use self::seen::Seen;
pub use self::seen::{Foreseen, Sights};
use crate::Now;
use crate::host::{
    Application, Effect, FabricSeen, FabricWanted, HostLoop, Input, Look, Observed, Probing, Step, StepOk,
    StepResult, Watching,
};

/// Says how things turn out.
pub trait Oracle {
    /// How a step ends; by default well.
    fn step(&mut self, _step: &Step) -> StepResult {
        Ok(StepOk { pid: Some(1) })
    }

    /// What becomes of a run that began; by default it goes on, and is healthy.
    fn run(&mut self, _slot: &Slot, _attempt: u32) -> Fate {
        Fate::Runs { healthy: true }
    }

    /// A look at each step before it begins, with the loop as it then is.
    fn begins(&mut self, _step: &Step, _host: &HostLoop) {}
}

/// Everything turns out well.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllWell;

impl Oracle for AllWell {}

/// What becomes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It runs until it is told to end.
    Runs {
        /// What its probes will say, where it has a health check.
        healthy: bool,
    },
    /// It ends by itself at once.
    Ends(Exit),
}

/// What will come.
#[derive(Debug, Clone)]
pub struct Projection {
    /// The steps of each round, as text: subject, action, because.
    pub rounds: Vec<String>,
    /// The loop at the end.
    pub host: HostLoop,
    /// When that is.
    pub end: Now,
    /// It came to rest. False when it would go on for ever: a service that ends and is restarted.
    pub quiet: bool,
}

impl Projection {
    /// The rounds as one text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (n, round) in self.rounds.iter().enumerate() {
            let _ = write!(text, "round {}\n{round}", n + 1);
        }
        text
    }
}

/// So many times may the loop ask to be woken before this counts as endless.
const WAKES: u32 = 60;

/// Projects what comes of a spec on a host in this state. `host` must have adopted what exists.
#[must_use]
pub fn project(
    host: HostLoop,
    spec: HostSpec,
    endpoints: Endpoints,
    now: &Now,
    oracle: &mut dyn Oracle,
) -> Projection {
    let inputs = VecDeque::from([Input::EndpointsPut(Box::new(endpoints)), Input::SpecPut(Box::new(spec))]);
    let mut projector = Projector { inputs, ..Projector::new(host, now.clone()) };
    let quiet = projector.run(oracle);
    let Projector { host, now: end, rounds, .. } = projector;
    Projection { rounds, host, end, quiet }
}

struct Projector {
    host: HostLoop,
    now: Now,
    inputs: VecDeque<Input>,
    /// Which run of each instance has had its probe.
    probed: BTreeMap<InstanceUid, u32>,
    /// What was looked for last in the sockets of each.
    watched: BTreeMap<InstanceUid, Watching>,
    wake: Option<Moment>,
    rounds: Vec<String>,
    seen: Seen,
    /// The last report that nobody has read.
    report: Option<HostReport>,
}

impl Projector {
    fn new(host: HostLoop, now: Now) -> Self {
        Self {
            host,
            now,
            inputs: VecDeque::new(),
            probed: BTreeMap::new(),
            watched: BTreeMap::new(),
            wake: None,
            rounds: Vec::new(),
            seen: Seen::default(),
            report: None,
        }
    }

    /// What the loop asked for when it was made from a report: steps may be under way already.
    fn recalled(&mut self, effects: Vec<Effect>, oracle: &mut dyn Oracle) {
        let before = self.host.observed().clone();
        self.seen.look(&self.host, &before, &self.now);
        self.perform_all(effects, oracle);
        self.report = None;
    }

    fn run(&mut self, oracle: &mut dyn Oracle) -> bool {
        let mut wakes = 0;
        loop {
            self.go_on(oracle);
            let Some(wake) = self.wake.take() else { return true };
            wakes += 1;
            if wakes > WAKES {
                return false;
            }
            self.wake_up(wake);
        }
    }

    /// Until nothing happens but by time.
    fn go_on(&mut self, oracle: &mut dyn Oracle) {
        while !self.inputs.is_empty() {
            let inputs: Vec<Input> = self.inputs.drain(..).collect();
            self.round(inputs, oracle);
        }
    }

    fn wake_up(&mut self, wake: Moment) {
        if wake.since_boot > self.now.moment.since_boot {
            self.now.moment = wake;
        }
        self.inputs.push_back(Input::Timer);
    }

    /// One look at the host: all that has happened goes in, all that is to be done comes out and turns out somehow.
    fn round(&mut self, inputs: Vec<Input>, oracle: &mut dyn Oracle) {
        self.now.moment = self.now.moment.after(Duration::from_millis(1));
        let before = self.host.observed().clone();
        let effects = self.host.step_all(&self.now, inputs);
        self.note(&before);
        self.perform_all(effects, oracle);
    }

    fn perform_all(&mut self, effects: Vec<Effect>, oracle: &mut dyn Oracle) {
        for effect in effects {
            match effect {
                Effect::Perform(step) => self.perform(&step, oracle),
                Effect::ApplyFabric { number, wanted } => self.inputs.push_back(applied(number, &wanted)),
                Effect::Probe(wanted) => self.probe(&wanted, oracle),
                Effect::Watch(wanted) => self.watch(wanted, oracle),
                Effect::WakeAt(moment) => self.wake = Some(moment),
                Effect::Report(report) => self.report = Some(*report),
                Effect::Journal(_)
                | Effect::StoreSpec(_)
                | Effect::StoreEndpoints(_)
                | Effect::SpecAccepted
                | Effect::SpecRefused(_)
                | Effect::PublishZone(_)
                | Effect::Warn(_)
                | Effect::ProbeLiveness(_) => {}
            }
        }
    }

    fn note(&mut self, before: &Observed) {
        self.seen.look(&self.host, before, &self.now);
        let plan = self.host.plan();
        if plan.steps.is_empty() {
            return;
        }
        self.rounds.push(plan.text(&self.host.input(&self.now, before)));
    }

    fn perform(&mut self, step: &Step, oracle: &mut dyn Oracle) {
        oracle.begins(step, &self.host);
        let result = oracle.step(step);
        let worked = result.is_ok();
        self.inputs.push_back(Input::StepDone { step: step.clone(), result });
        if !worked {
            return;
        }
        match step {
            &Step::StartInstance { uid, attempt } => {
                if let Fate::Ends(exit) = self.fate(uid, attempt, oracle) {
                    self.inputs.push_back(Input::Exited { uid, attempt, exit, oom_killed: false });
                }
            }
            Step::SignalInstance { uid, .. } => self.end(*uid, Exit::Signal(15)),
            Step::KillInstance(uid) | Step::ClearInstance(uid) => self.end(*uid, Exit::Signal(9)),
            _ => {}
        }
    }

    fn fate(&self, uid: InstanceUid, attempt: u32, oracle: &mut dyn Oracle) -> Fate {
        let slot = self.host.observed().instances.get(&uid).map(|instance| instance.birth.slot.clone());
        slot.map_or(Fate::Runs { healthy: true }, |slot| oracle.run(&slot, attempt))
    }

    fn end(&mut self, uid: InstanceUid, exit: Exit) {
        let attempt = self.host.observed().instances.get(&uid).map_or(0, |instance| instance.starts);
        self.inputs.push_back(Input::Exited { uid, attempt, exit, oom_killed: false });
    }

    fn probe(&mut self, wanted: &BTreeMap<InstanceUid, Probing>, oracle: &mut dyn Oracle) {
        for (uid, probing) in wanted {
            if self.probed.insert(*uid, probing.attempt) == Some(probing.attempt) {
                continue;
            }
            let healthy = self.fate(*uid, probing.attempt, oracle) == Fate::Runs { healthy: true };
            let health = if healthy { Health::Healthy } else { Health::Unhealthy };
            self.inputs.push_back(Input::Probed { uid: *uid, attempt: probing.attempt, health, probe: None });
        }
    }

    /// What runs well listens where it should at once, and whoever is connected goes at once.
    fn watch(&mut self, wanted: BTreeMap<InstanceUid, Watching>, oracle: &mut dyn Oracle) {
        for (uid, watching) in wanted {
            if self.watched.get(&uid) == Some(&watching) {
                continue;
            }
            let attempt = watching.attempt;
            let seen = match watching.look {
                Look::Connections { .. } => Some(Input::Idle { uid, attempt }),
                Look::Listeners { .. }
                    if self.fate(uid, attempt, oracle) == (Fate::Runs { healthy: true }) =>
                {
                    self.listens(uid).map(|ports| Input::Listens { uid, attempt, ports })
                }
                Look::Listeners { .. } => None,
            };
            self.inputs.extend(seen);
            self.watched.insert(uid, watching);
        }
    }
}

impl Projector {
    /// Where an instance is going to listen: on the ports that it declares, and where the one before it does. Of one that
    /// listens already nothing new is learned.
    fn listens(&self, uid: InstanceUid) -> Option<BTreeSet<Listener>> {
        let instances = &self.host.observed().instances;
        let instance = instances.get(&uid).filter(|seen| seen.listening.is_empty())?;
        let handover = &instance.birth.handover;
        let others = instances.values().filter(|other| other.birth.slot == instance.birth.slot);
        let before = others.flat_map(|other| crate::rollout::lasting(&other.listening));
        Some(handover.targets().into_iter().chain(handover.expose.iter().copied()).chain(before).collect())
    }
}

/// What a host hears when every port is free and the kernel takes all of a fabric.
#[must_use]
pub fn applied(number: u64, wanted: &FabricWanted) -> Input {
    let report = |port: &Port| PublishedReport { port: port.clone(), reach: String::new() };
    let published = wanted.published.keys().map(|key| (key.clone(), Ok(report(&key.port)))).collect();
    let applied = Some(Application { number, outcome: Ok(()) });
    Input::FabricApplied(FabricSeen { applied, published, ..FabricSeen::default() })
}
