//! What will come of a spec: the agent's loop driven under an oracle that says how everything turns out, until nothing
//! happens any more. Previews (`hoist plan`) and property tests are this one function.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use hoist_model::{Endpoints, Exit, Health, HostSpec, InstanceUid, Moment, Port, PublishedReport, Slot};

use crate::Now;
use crate::host::{
    Application, Effect, FabricSeen, FabricWanted, HostInput, HostLoop, Input, Look, Probing, Step, StepOk,
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
    let mut projector = Projector {
        host,
        now: now.clone(),
        inputs,
        probed: BTreeMap::new(),
        watched: BTreeMap::new(),
        wake: None,
        rounds: Vec::new(),
        oracle,
    };
    let quiet = projector.run();
    let Projector { host, now: end, rounds, .. } = projector;
    Projection { rounds, host, end, quiet }
}

struct Projector<'a> {
    host: HostLoop,
    now: Now,
    inputs: VecDeque<Input>,
    /// Which run of each instance has had its probe.
    probed: BTreeMap<InstanceUid, u32>,
    /// What was looked for last in the sockets of each.
    watched: BTreeMap<InstanceUid, Watching>,
    wake: Option<Moment>,
    rounds: Vec<String>,
    oracle: &'a mut dyn Oracle,
}

impl Projector<'_> {
    fn run(&mut self) -> bool {
        let mut wakes = 0;
        loop {
            while !self.inputs.is_empty() {
                let inputs: Vec<Input> = self.inputs.drain(..).collect();
                self.round(inputs);
            }
            let Some(wake) = self.wake.take() else { return true };
            wakes += 1;
            if wakes > WAKES {
                return false;
            }
            if wake.since_boot > self.now.moment.since_boot {
                self.now.moment = wake;
            }
            self.inputs.push_back(Input::Timer);
        }
    }

    /// One look at the host: all that has happened goes in, all that is to be done comes out and turns out somehow.
    fn round(&mut self, inputs: Vec<Input>) {
        self.now.moment = self.now.moment.after(Duration::from_millis(1));
        let before = self.host.clone();
        let effects = self.host.step_all(&self.now, inputs);
        self.note(&before);
        for effect in effects {
            match effect {
                Effect::Perform(step) => self.perform(&step),
                Effect::ApplyFabric { number, wanted } => self.inputs.push_back(applied(number, &wanted)),
                Effect::Probe(wanted) => self.probe(&wanted),
                Effect::Watch(wanted) => self.watch(wanted),
                Effect::WakeAt(moment) => self.wake = Some(moment),
                Effect::Journal(_)
                | Effect::StoreSpec(_)
                | Effect::StoreEndpoints(_)
                | Effect::SpecAccepted
                | Effect::SpecRefused(_)
                | Effect::PublishZone(_)
                | Effect::Warn(_)
                | Effect::ProbeLiveness(_)
                | Effect::Report(_) => {}
            }
        }
    }

    fn note(&mut self, before: &HostLoop) {
        let plan = self.host.plan();
        if plan.steps.is_empty() {
            return;
        }
        let input = HostInput {
            spec: self.host.spec(),
            endpoints: self.host.endpoints(),
            observed: before.observed(),
            now: &self.now.moment,
        };
        self.rounds.push(plan.text(&input));
    }

    fn perform(&mut self, step: &Step) {
        self.oracle.begins(step, &self.host);
        let result = self.oracle.step(step);
        let worked = result.is_ok();
        self.inputs.push_back(Input::StepDone { step: step.clone(), result });
        if !worked {
            return;
        }
        match step {
            &Step::StartInstance { uid, attempt } => {
                if let Fate::Ends(exit) = self.fate(uid, attempt) {
                    self.inputs.push_back(Input::Exited { uid, attempt, exit, oom_killed: false });
                }
            }
            Step::SignalInstance { uid, .. } => self.end(*uid, Exit::Signal(15)),
            Step::KillInstance(uid) | Step::ClearInstance(uid) => self.end(*uid, Exit::Signal(9)),
            _ => {}
        }
    }

    fn fate(&mut self, uid: InstanceUid, attempt: u32) -> Fate {
        let slot = self.host.observed().instances.get(&uid).map(|instance| instance.birth.slot.clone());
        slot.map_or(Fate::Runs { healthy: true }, |slot| self.oracle.run(&slot, attempt))
    }

    fn end(&mut self, uid: InstanceUid, exit: Exit) {
        let attempt = self.host.observed().instances.get(&uid).map_or(0, |instance| instance.starts);
        self.inputs.push_back(Input::Exited { uid, attempt, exit, oom_killed: false });
    }

    fn probe(&mut self, wanted: &BTreeMap<InstanceUid, Probing>) {
        for (uid, probing) in wanted {
            if self.probed.insert(*uid, probing.attempt) == Some(probing.attempt) {
                continue;
            }
            let healthy = self.fate(*uid, probing.attempt) == Fate::Runs { healthy: true };
            let health = if healthy { Health::Healthy } else { Health::Unhealthy };
            self.inputs.push_back(Input::Probed { uid: *uid, attempt: probing.attempt, health, probe: None });
        }
    }

    /// What runs well listens where it should at once, and whoever is connected goes at once.
    fn watch(&mut self, wanted: BTreeMap<InstanceUid, Watching>) {
        for (uid, watching) in wanted {
            if self.watched.get(&uid) == Some(&watching) {
                continue;
            }
            let attempt = watching.attempt;
            let seen = match watching.look {
                Look::Connections { .. } => Some(Input::Idle { uid, attempt }),
                Look::Listeners { .. } if self.fate(uid, attempt) == (Fate::Runs { healthy: true }) => {
                    let instance = self.host.observed().instances.get(&uid);
                    let declared = instance.map(|seen| &seen.birth.handover);
                    let ports = declared.map(|h| h.targets().union(&h.expose).copied().collect());
                    Some(Input::Listens { uid, attempt, ports: ports.unwrap_or_default() })
                }
                Look::Listeners { .. } => None,
            };
            self.inputs.extend(seen);
            self.watched.insert(uid, watching);
        }
    }
}

/// Every port is free, and the kernel takes it all.
fn applied(number: u64, wanted: &FabricWanted) -> Input {
    let report = |port: &Port| PublishedReport { port: port.clone(), reach: String::new() };
    let published = wanted.published.keys().map(|key| (key.clone(), Ok(report(&key.port)))).collect();
    let applied = Some(Application { number, outcome: Ok(()) });
    Input::FabricApplied(FabricSeen { applied, published, ..FabricSeen::default() })
}
