//! The event loop: takes the earliest event, lets time pass, performs what the loops ask for.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::{
    BootId, Exit, HostId, HostReport, HostSpec, InstanceUid, Moment, ServiceName, Stack, StackId, Verdict,
    WallTime,
};
use hoist_planner::Now;
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::cluster::{self, ClusterLoop, OpId, Refusal, Request, UpRequest};
use hoist_planner::host::{self, HostLoop, StartedBy, Step, StepError, StepOk};

use super::agent::Agent;
use super::disk::Disk;
use super::faults::{Behaviour, Faults};
use super::kernel::{Kernel, Run};
use crate::{CountedIds, Rng, build};

/// A simulation that takes longer than this, in virtual time, hangs.
const PATIENCE: Duration = Duration::from_secs(3600);

/// How an operation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// With a verdict.
    Verdict(Verdict),
    /// It was refused.
    Refused(Refusal),
    /// The orchestrator died in between: a person would ask again.
    Lost,
}

#[derive(Debug)]
enum Event {
    Step { step: Step, spec: HostSpec, fails: bool },
    Exit { uid: InstanceUid, attempt: u32, exit: Exit },
    Probe { uid: InstanceUid, attempt: u32 },
    HostTimer(Moment),
    ClusterTimer,
    Fabric(host::FabricSeen),
    Report(Box<HostReport>),
    Spec(Box<HostSpec>),
    Endpoints(Box<hoist_model::Endpoints>),
    Images { op: OpId, images: Vec<cluster::ImageWanted> },
    AgentUp(StartedBy),
    KeeperBack,
}

/// Whose death makes an event void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lives {
    boot: u32,
    agent: u32,
    orchestrator: u32,
}

/// A whole simulation.
pub struct World {
    seed: u64,
    rng: Rng,
    faults: Faults,
    behaviours: BTreeMap<ServiceName, Behaviour>,
    clock: Duration,
    booted: Duration,
    lives: Lives,
    queue: BTreeMap<(Duration, u64), (Lives, Event)>,
    sequence: u64,
    disk: Disk,
    kernel: Kernel,
    agent: Option<Agent>,
    orchestrator: ClusterLoop,
    ids: CountedIds,
    operations: BTreeMap<OpId, Option<Ended>>,
    /// When the last report arrives: a stream keeps its order.
    last_report: Duration,
    trace: Vec<String>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World(seed {})", self.seed)
    }
}

impl World {
    /// A host on which nothing has run yet, its agent up.
    #[must_use]
    pub fn new(seed: u64, faults: Faults, behaviours: BTreeMap<ServiceName, Behaviour>) -> Self {
        let (orchestrator, _) = ClusterLoop::restore(cluster::Restored::default());
        let mut world = Self {
            seed,
            rng: Rng::new(seed),
            faults,
            behaviours,
            clock: Duration::from_secs(10),
            booted: Duration::ZERO,
            lives: Lives { boot: 1, agent: 0, orchestrator: 0 },
            queue: BTreeMap::new(),
            sequence: 0,
            disk: Disk::default(),
            kernel: Kernel::default(),
            agent: None,
            orchestrator,
            ids: CountedIds::default(),
            operations: BTreeMap::new(),
            last_report: Duration::ZERO,
            trace: Vec::new(),
        };
        world.agent_up(StartedBy::Person);
        world
    }

    /// `up`, with these options.
    pub fn up(&mut self, stack: &Stack, options: UpOptions) -> OpId {
        let (project_dir, files) = ("/srv".into(), vec!["/srv/stack.yaml".into()]);
        self.ask(Request::Up(UpRequest { stack: stack.clone(), options, project_dir, files, expected: None }))
    }

    /// Any request.
    pub fn ask(&mut self, request: Request) -> OpId {
        let op = OpId(self.operations.len() as u64 + 1);
        self.operations.insert(op, None);
        let text = format!("{request:?}");
        self.note(format!("request {}", text.split(' ').next().unwrap_or_default()));
        self.tell_cluster(cluster::Input::Request { op, request: Box::new(request) });
        op
    }

    /// Lets time pass until an operation ends.
    pub fn until_ended(&mut self, op: OpId) -> Ended {
        let limit = self.clock + PATIENCE;
        loop {
            if let Some(Some(ended)) = self.operations.get(&op) {
                return ended.clone();
            }
            if self.clock > limit || !self.advance() {
                self.fail("an operation has no end");
            }
        }
    }

    /// Asks until there is a verdict, as a person would whose orchestrator dies now and then.
    pub fn insist(&mut self, request: impl Fn() -> Request) -> Verdict {
        for _ in 0..50 {
            let op = self.ask(request());
            match self.until_ended(op) {
                Ended::Verdict(verdict) => return verdict,
                Ended::Refused(refusal) => self.fail(&format!("refused: {refusal:?}")),
                Ended::Lost => {}
            }
        }
        self.fail("fifty orchestrators died in a row")
    }

    /// Lets this much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.clock + time;
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.advance();
        }
        self.clock = end;
    }

    /// From now on, nothing goes wrong any more.
    pub fn calm(&mut self) {
        self.faults = Faults { slowest: self.faults.slowest, delay: self.faults.delay, ..Faults::NONE };
    }

    /// Changes how a service's program behaves, from its next run on.
    pub fn behave(&mut self, service: &str, behaviour: Behaviour) {
        self.behaviours.insert(build::name(service), behaviour);
    }

    /// The runs that are alive.
    pub fn alive(&self) -> impl Iterator<Item = (InstanceUid, &Run)> {
        self.kernel.alive()
    }

    /// How often a slot was launched, ever.
    #[must_use]
    pub fn launches(&self, stack: &str, service: &str) -> u32 {
        let slots = self.kernel.launches.iter();
        let of =
            slots.filter(|(slot, _)| slot.stack == build::id(stack) && slot.service == build::name(service));
        of.map(|(_, count)| count).sum()
    }

    /// Whether an instance of the service runs.
    #[must_use]
    pub fn runs(&self, stack: &str, service: &str) -> bool {
        self.alive()
            .any(|(_, run)| run.slot.stack == build::id(stack) && run.slot.service == build::name(service))
    }

    /// The orchestrator's loop.
    #[must_use]
    pub fn orchestrator(&self) -> &ClusterLoop {
        &self.orchestrator
    }

    /// The agent's loop, unless the agent is down.
    #[must_use]
    pub fn agent(&self) -> Option<&HostLoop> {
        self.agent.as_ref().map(|agent| &agent.host)
    }

    /// What is left of anything: instances, networks, volumes.
    #[must_use]
    pub fn left(&self) -> (usize, usize, usize) {
        (self.kernel.laid_out.len(), self.kernel.networks.len(), self.kernel.volumes.len())
    }

    /// Kills the agent; it starts again a moment later.
    pub fn kill_agent(&mut self, started_by: StartedBy) {
        self.note(format!("agent dies, starts again by {started_by:?}"));
        self.agent = None;
        self.settle_steps();
        self.lives.agent += 1;
        self.later(Duration::from_millis(100), Event::AgentUp(started_by));
    }

    /// What the dead agent had begun has come about, or never will: the next one finds either.
    fn settle_steps(&mut self) {
        let begun: Vec<(Duration, u64)> = self
            .queue
            .iter()
            .filter(|(_, (_, event))| matches!(event, Event::Step { .. }))
            .map(|(at, _)| *at)
            .collect();
        for at in begun {
            let Some((lives, Event::Step { step, spec, fails })) = self.queue.remove(&at) else { continue };
            if lives == self.lives && self.rng.chance(500) {
                let _ = self.step_happens(&step, &spec, fails);
            }
        }
    }

    /// Takes the machine down and up again.
    pub fn reboot(&mut self) {
        self.kill_agent(StartedBy::Crash);
        self.kernel.reboot();
        self.lives.boot += 1;
        self.booted = self.clock;
        self.lives.agent += 1;
        self.later(Duration::from_millis(100), Event::AgentUp(StartedBy::Crash));
        self.restart_orchestrator();
    }

    /// Starts the orchestrator anew from its store.
    pub fn restart_orchestrator(&mut self) {
        self.note("orchestrator dies".to_owned());
        self.lives.orchestrator += 1;
        for ended in self.operations.values_mut().filter(|ended| ended.is_none()) {
            *ended = Some(Ended::Lost);
        }
        let (orchestrator, effects) = ClusterLoop::restore(self.disk.orchestrator());
        self.orchestrator = orchestrator;
        self.perform_cluster(effects);
        // It reads the current report first.
        if let Some(agent) = &self.agent {
            let report = agent.host.report(&self.now());
            self.send_report(Box::new(report));
        }
    }

    /// Ends a service's runs from outside, as a crash would.
    pub fn crash(&mut self, service: &str, exit: Exit) {
        let runs: Vec<(InstanceUid, u32)> = self
            .alive()
            .filter(|(_, run)| run.slot.service == build::name(service))
            .map(|(uid, run)| (uid, run.attempt))
            .collect();
        for (uid, attempt) in runs {
            self.later(Duration::ZERO, Event::Exit { uid, attempt, exit });
        }
    }

    /// Ends the test with what is needed to repeat it.
    pub fn fail(&self, what: &str) -> ! {
        let from = self.trace.len().saturating_sub(60);
        panic!("{what}\nseed {} at {:?}\n{}", self.seed, self.clock, self.trace[from..].join("\n"))
    }

    fn now(&self) -> Now {
        let moment = Moment {
            boot: BootId(format!("boot-{}", self.lives.boot)),
            since_boot: self.clock - self.booted,
        };
        let wall = WallTime(i64::try_from(self.clock.as_nanos()).unwrap_or(i64::MAX));
        Now { moment, wall }
    }

    fn note(&mut self, text: String) {
        self.trace.push(format!("{:>10.3} {text}", self.clock.as_secs_f64()));
    }

    fn later(&mut self, wait: Duration, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.clock + wait, self.sequence), (self.lives, event));
    }

    fn send(&mut self, event: Event) {
        let wait = self.rng.duration(self.faults.delay);
        self.later(wait, event);
    }

    fn send_report(&mut self, report: Box<HostReport>) {
        let arrival = (self.clock + self.rng.duration(self.faults.delay)).max(self.last_report);
        self.last_report = arrival;
        self.later(arrival - self.clock, Event::Report(report));
    }

    /// The earliest event happens. False when there is none.
    fn advance(&mut self) -> bool {
        let Some(((at, _), (lives, event))) = self.queue.pop_first() else { return false };
        self.clock = self.clock.max(at);
        if self.due(lives, &event) {
            self.happen(event);
        }
        true
    }

    /// Whether an event still has somebody to happen to.
    fn due(&self, then: Lives, event: &Event) -> bool {
        let (boot, agent) = (then.boot == self.lives.boot, then.agent == self.lives.agent);
        match event {
            Event::Exit { .. } => boot,
            Event::Step { .. }
            | Event::Probe { .. }
            | Event::HostTimer(_)
            | Event::Fabric(_)
            | Event::KeeperBack => boot && agent,
            Event::ClusterTimer
            | Event::Images { .. }
            | Event::Report(_)
            | Event::Spec(_)
            | Event::Endpoints(_) => then.orchestrator == self.lives.orchestrator,
            Event::AgentUp(_) => agent,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step { step, spec, fails } => {
                let result = self.step_happens(&step, &spec, fails);
                self.tell_host(host::Input::StepDone { step, result });
            }
            Event::Exit { uid, attempt, exit } => self.exit_happens(uid, attempt, exit),
            Event::Probe { uid, attempt } => self.probe_happens(uid, attempt),
            Event::HostTimer(at) => {
                if self.agent.as_ref().is_some_and(|agent| agent.wake == Some(at)) {
                    self.tell_host(host::Input::Timer);
                }
            }
            Event::ClusterTimer => self.tell_cluster(cluster::Input::Timer),
            Event::Fabric(seen) => self.tell_host(host::Input::FabricApplied(seen)),
            Event::Report(report) => self.tell_cluster(cluster::Input::Report(report)),
            Event::Spec(spec) if self.agent.is_none() => {
                self.later(Duration::from_millis(50), Event::Spec(spec))
            }
            Event::Spec(spec) => self.tell_host(host::Input::SpecPut(spec)),
            Event::Endpoints(endpoints) if self.agent.is_none() => {
                self.later(Duration::from_millis(50), Event::Endpoints(endpoints));
            }
            Event::Endpoints(endpoints) => self.tell_host(host::Input::EndpointsPut(endpoints)),
            Event::Images { op, images } => {
                let settled =
                    |image: &cluster::ImageWanted| (image.service.clone(), Ok(build::image(&image.source)));
                let images = images.iter().map(settled).collect();
                self.tell_cluster(cluster::Input::ImagesResolved { op, images });
            }
            Event::AgentUp(started_by) => self.agent_up(started_by),
            Event::KeeperBack => self.keeper_back(),
        }
    }

    fn agent_up(&mut self, started_by: StartedBy) {
        let now = self.now();
        let restored = self.disk.agent(&host_id(), &now.moment, started_by);
        let (host, effects) = HostLoop::restore(restored, &now);
        self.agent = Some(Agent::new(host));
        self.perform_host(effects);
        let adopted = self.kernel.adopted();
        self.tell_host(host::Input::Adopted(adopted));
        // A new connection reads the current report first.
        if let Some(agent) = &self.agent {
            let report = agent.host.report(&self.now());
            self.send_report(Box::new(report));
        }
    }

    fn keeper_back(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.keeper = true;
            let adopted = self.kernel.adopted();
            self.tell_host(host::Input::Adopted(adopted));
        }
    }

    fn tell_host(&mut self, input: host::Input) {
        let now = self.now();
        let Some(agent) = &mut self.agent else { return };
        let effects = agent.host.step(&now, input);
        let texts: Vec<String> =
            agent.host.plan().steps.iter().map(|p| format!("{}, because {}", p.step, p.cause)).collect();
        for text in texts {
            self.note(text);
        }
        self.perform_host(effects);
    }

    fn tell_cluster(&mut self, input: cluster::Input) {
        let now = self.now();
        let effects = self.orchestrator.step(&now, input, &mut self.ids);
        self.perform_cluster(effects);
    }

    fn perform_host(&mut self, effects: Vec<host::Effect>) {
        for effect in effects {
            match effect {
                host::Effect::Journal(entry) => self.disk.journal(entry),
                host::Effect::StoreSpec(spec) => self.disk.spec(*spec),
                host::Effect::StoreEndpoints(endpoints) => self.disk.endpoints(*endpoints),
                host::Effect::SpecAccepted => {}
                // An older message that came late; the newer one was there before it.
                host::Effect::SpecRefused(host::SpecRefusal::Outdated { .. }) => {}
                host::Effect::SpecRefused(host::SpecRefusal::Altered) => {
                    self.fail("one generation with two contents");
                }
                host::Effect::Perform(step) => self.begin(step),
                host::Effect::ApplyFabric(wanted) => self.apply_fabric(&wanted),
                host::Effect::PublishZone(_) => {}
                host::Effect::Probe(wanted) => self.probe(&wanted),
                host::Effect::Report(report) => self.send_report(report),
                host::Effect::WakeAt(moment) => self.wake_host(moment),
            }
        }
    }

    fn perform_cluster(&mut self, effects: Vec<cluster::Effect>) {
        for effect in effects {
            match effect {
                cluster::Effect::ResolveImages { op, images } => self.send(Event::Images { op, images }),
                cluster::Effect::Store(change) => self.disk.store(change),
                cluster::Effect::PutSpec { spec, .. } => {
                    self.check(&spec);
                    self.send(Event::Spec(spec));
                }
                cluster::Effect::PutEndpoints { endpoints, .. } => self.send(Event::Endpoints(endpoints)),
                cluster::Effect::Kill { instance, .. } => self.kill(instance),
                cluster::Effect::Emit { op, stack, event } => self.emitted(op, &stack, &event),
                cluster::Effect::Refuse { op, refusal } => {
                    self.operations.insert(op, Some(Ended::Refused(refusal)));
                }
                cluster::Effect::WakeAt(moment) => {
                    let wait = moment.since(&self.now().moment).unwrap_or_default();
                    self.later(wait, Event::ClusterTimer);
                }
            }
        }
        if self.faults.orchestrator_dies > 0 && self.rng.chance(self.faults.orchestrator_dies) {
            self.restart_orchestrator();
        }
    }

    fn check(&self, spec: &HostSpec) {
        let problems = hoist_planner::check::spec(spec);
        if !problems.is_empty() {
            self.fail(&format!("a spec contradicts itself: {problems:?}"));
        }
    }

    fn emitted(&mut self, op: OpId, stack: &StackId, event: &hoist_model::EventKind) {
        self.note(format!("{stack}: {event:?}"));
        if let hoist_model::EventKind::Verdict(verdict) = event {
            self.operations.insert(op, Some(Ended::Verdict(verdict.clone())));
        }
    }

    fn kill(&mut self, uid: InstanceUid) {
        if let Some(run) = self.kernel.runs.get(&uid) {
            let attempt = run.attempt;
            self.later(Duration::ZERO, Event::Exit { uid, attempt, exit: Exit::Signal(9) });
        }
    }

    fn begin(&mut self, step: Step) {
        let Some(agent) = &self.agent else { return };
        if let Step::StartInstance { uid, .. } = step
            && let Some(closed) = agent.closed_gate(uid)
        {
            self.fail(&closed);
        }
        let spec = agent.host.spec().clone();
        let wait = self.rng.duration(self.faults.slowest);
        let fails = self.rng.chance(self.faults.step_fails);
        self.later(wait, Event::Step { step, spec, fails });
        self.misfortune();
    }

    /// While something is under way, something else may go wrong.
    fn misfortune(&mut self) {
        if self.rng.chance(self.faults.reboots) {
            self.reboot();
        } else if self.rng.chance(self.faults.agent_dies) {
            self.kill_agent(StartedBy::Crash);
        } else if self.rng.chance(self.faults.keeper_lost)
            && let Some(agent) = &mut self.agent
            && agent.keeper
        {
            agent.keeper = false;
            self.note("keeper lost".to_owned());
            self.later(Duration::from_millis(300), Event::KeeperBack);
            self.tell_host(host::Input::KeeperLost);
        }
    }

    fn apply_fabric(&mut self, wanted: &host::FabricWanted) {
        let published = wanted.published.keys().map(|key| {
            let report =
                hoist_model::PublishedReport { port: key.port.clone(), reach: "everywhere".to_owned() };
            (key.clone(), Ok(report))
        });
        let seen = host::FabricSeen { published: published.collect() };
        self.later(Duration::from_millis(1), Event::Fabric(seen));
    }

    fn probe(&mut self, wanted: &BTreeMap<InstanceUid, host::Probing>) {
        let now = self.now().moment;
        let Some(agent) = &mut self.agent else { return };
        for (uid, attempt, due) in agent.probe(wanted) {
            self.later(due.since(&now).unwrap_or_default(), Event::Probe { uid, attempt });
        }
    }

    fn wake_host(&mut self, moment: Moment) {
        let wait = moment.since(&self.now().moment).unwrap_or_default();
        if let Some(agent) = &mut self.agent {
            agent.wake = Some(moment.clone());
            self.later(wait, Event::HostTimer(moment));
        }
    }

    fn step_happens(&mut self, step: &Step, spec: &HostSpec, fails: bool) -> host::StepResult {
        let keeper = self.agent.as_ref().is_none_or(|agent| agent.keeper);
        let needs_keeper =
            matches!(step, Step::StartInstance { .. } | Step::SignalInstance { .. } | Step::KillInstance(_));
        if fails || needs_keeper && !keeper {
            Err(StepError { what: "a simulated failure".to_owned(), hint: None, permanent: false })
        } else {
            self.carry_out(step, spec)
        }
    }

    fn carry_out(&mut self, step: &Step, spec: &HostSpec) -> host::StepResult {
        if let Err(broken) = self.kernel.perform(step, spec) {
            self.fail(&broken);
        }
        match step {
            Step::StartInstance { uid, attempt } => return self.launch(*uid, *attempt, spec),
            Step::SignalInstance { uid, .. } => self.signal(*uid),
            Step::KillInstance(uid) => self.kill(*uid),
            _ => {}
        }
        Ok(StepOk::default())
    }

    fn behaviour(&self, service: &ServiceName) -> Behaviour {
        self.behaviours.get(service).cloned().unwrap_or_default()
    }

    fn launch(&mut self, uid: InstanceUid, attempt: u32, spec: &HostSpec) -> host::StepResult {
        let service = spec.instances.get(&uid).map(|instance| instance.slot.service.clone());
        let behaviour = service.map(|service| self.behaviour(&service)).unwrap_or_default();
        if behaviour.broken {
            return Err(StepError { what: "no such program".to_owned(), hint: None, permanent: true });
        }
        let now = self.now().moment;
        let run = match self.kernel.launch(uid, attempt, spec, &now) {
            Ok(run) => run,
            Err(broken) => self.fail(&broken),
        };
        if let Some((after, exit)) = behaviour.ends {
            self.later(after, Event::Exit { uid, attempt: run.attempt, exit });
        }
        Ok(StepOk { pid: Some(run.pid) })
    }

    fn signal(&mut self, uid: InstanceUid) {
        let Some(run) = self.kernel.runs.get(&uid) else { return };
        let (attempt, service) = (run.attempt, run.slot.service.clone());
        if let Some(after) = self.behaviour(&service).stops_after {
            self.later(after, Event::Exit { uid, attempt, exit: Exit::Signal(15) });
        }
    }

    fn exit_happens(&mut self, uid: InstanceUid, attempt: u32, exit: Exit) {
        // Nobody reads the status while the keeper is dead.
        let keeper = self.agent.as_ref().is_none_or(|agent| agent.keeper);
        let seen = if keeper { exit } else { Exit::Unknown };
        if self.kernel.end(uid, attempt, seen) && keeper {
            self.note(format!("{} of {} {exit}", attempt, uid.short()));
            self.tell_host(host::Input::Exited { uid, attempt, exit, oom_killed: false });
        }
    }

    fn probe_happens(&mut self, uid: InstanceUid, attempt: u32) {
        let now = self.now().moment;
        let Some(run) = self.kernel.runs.get(&uid).filter(|run| run.ended.is_none()) else { return };
        let age = now.since(&run.since).unwrap_or_default();
        let passed = age >= self.behaviour(&run.slot.service).healthy_after;
        let Some(agent) = &mut self.agent else { return };
        let Some((probed, prober)) = agent.probers.get_mut(&uid) else { return };
        if *probed != attempt {
            return;
        }
        let changed = prober.probed(passed, &now);
        let due = prober.due().since(&now).unwrap_or_default();
        self.later(due, Event::Probe { uid, attempt });
        if let Some(health) = changed {
            self.tell_host(host::Input::Probed { uid, attempt, health });
        }
    }
}

fn host_id() -> HostId {
    HostId::new("here").expect("a valid name")
}
