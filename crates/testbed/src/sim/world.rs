//! A simulation from outside: what a test asks for, breaks, and looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hoist_model::{BootId, Exit, Guards, HostId, InstanceUid, Moment, ServiceName, Stack, Verdict, WallTime};
use hoist_planner::Now;
use hoist_planner::cluster::intent::UpOptions;
use hoist_planner::cluster::{self, ClusterLoop, OpId, Refusal, Request, UpRequest};
use hoist_planner::host::{HostLoop, StartedBy};

use super::agent::Agent;
use super::disk::{Disk, Store};
use super::done::Done;
use super::faults::{Behaviour, Faults};
use super::happen::{Event, Lives};
use super::kernel::{Kernel, Run};
use super::network::Network;
use crate::{CountedIds, Rng, builder};

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

/// A whole simulation.
pub struct World {
    pub(super) seed: u64,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) behaviours: BTreeMap<ServiceName, Behaviour>,
    pub(super) clock: Duration,
    pub(super) booted: Duration,
    pub(super) lives: Lives,
    pub(super) queue: BTreeMap<(Duration, u64), (Lives, Event)>,
    pub(super) sequence: u64,
    pub(super) disk: Disk,
    pub(super) kernel: Kernel,
    pub(super) network: Network,
    pub(super) agent: Option<Agent>,
    pub(super) orchestrator: ClusterLoop,
    pub(super) ids: CountedIds,
    pub(super) operations: BTreeMap<OpId, Option<Ended>>,
    /// Host ports that some other program has.
    pub(super) foreign_ports: BTreeSet<u16>,
    /// When the last report arrives: a stream keeps its order.
    pub(super) last_report: Duration,
    pub(super) trace: Vec<String>,
    pub(super) done: Done,
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
        let mut disk = Disk::default();
        let (orchestrator, _) = ClusterLoop::restore(disk.store.open());
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
            disk,
            kernel: Kernel::default(),
            network: Network::default(),
            agent: None,
            orchestrator,
            ids: CountedIds::default(),
            operations: BTreeMap::new(),
            foreign_ports: BTreeSet::new(),
            last_report: Duration::ZERO,
            trace: Vec::new(),
            done: Done::default(),
        };
        world.agent_up(StartedBy::Person);
        world
    }

    /// `up`, with these options.
    pub fn up(&mut self, stack: &Stack, options: UpOptions) -> OpId {
        let (project_dir, files) = ("/srv".into(), vec!["/srv/stack.yaml".into()]);
        let by = hoist_model::Author::default();
        let stack = stack.clone();
        self.ask(Request::Up(UpRequest { stack, options, project_dir, files, expected: None, by }))
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

    /// Prunes the volumes that no stack names.
    pub fn prune_volumes(&mut self) {
        self.note("prune volumes");
        self.tell_cluster(cluster::Input::PruneVolumes);
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
        self.behaviours.insert(builder::name(service), behaviour);
    }

    /// Another program takes a host port, or lets go of it.
    pub fn foreign_port(&mut self, port: u16, taken: bool) {
        if taken {
            self.foreign_ports.insert(port);
        } else {
            self.foreign_ports.remove(&port);
        }
    }

    /// How much time has passed.
    #[must_use]
    pub fn clock(&self) -> Duration {
        self.clock
    }

    /// The runs that are alive.
    pub fn alive(&self) -> impl Iterator<Item = (InstanceUid, &Run)> {
        self.kernel.alive()
    }

    /// How often a slot was launched, ever.
    #[must_use]
    pub fn launches(&self, stack: &str, service: &str) -> u32 {
        let slots = self.kernel.launches.iter();
        let of = slots
            .filter(|(slot, _)| slot.stack == builder::id(stack) && slot.service == builder::name(service));
        of.map(|(_, count)| count).sum()
    }

    /// Whether an instance of the service runs.
    #[must_use]
    pub fn runs(&self, stack: &str, service: &str) -> bool {
        self.alive().any(|(_, run)| {
            run.slot.stack == builder::id(stack) && run.slot.service == builder::name(service)
        })
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

    /// What was done since [`Self::watch_anew`], or ever.
    #[must_use]
    pub fn done(&self) -> &Done {
        &self.done
    }

    /// From now on, what is done is noted anew.
    pub fn watch_anew(&mut self) {
        self.done.clear();
    }

    /// Whether something that was told, or happened, says this.
    #[must_use]
    pub fn told(&self, text: &str) -> bool {
        self.trace.iter().any(|line| line.contains(text))
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

    /// Takes the machine down and up again.
    pub fn reboot(&mut self) {
        self.kill_agent(StartedBy::Crash);
        self.kernel.reboot();
        self.network.reboot();
        self.lives.boot += 1;
        self.booted = self.clock;
        self.lives.agent += 1;
        self.later(Duration::from_millis(100), Event::AgentUp(StartedBy::Crash));
        self.restart_orchestrator();
    }

    /// Starts the orchestrator anew from its store.
    pub fn restart_orchestrator(&mut self) {
        self.note("orchestrator dies");
        self.lives.orchestrator += 1;
        for ended in self.operations.values_mut().filter(|ended| ended.is_none()) {
            *ended = Some(Ended::Lost);
        }
        let (orchestrator, effects) = ClusterLoop::restore(self.disk.store.open());
        self.orchestrator = orchestrator;
        self.perform_cluster(effects);
        // It reads the current report first.
        if let Some(agent) = &self.agent {
            let report = agent.host.report(&self.now());
            self.send_report(Box::new(report));
        }
    }

    /// A copy of the orchestrator's store.
    #[must_use]
    pub fn backup(&self) -> Store {
        self.disk.store.clone()
    }

    /// Puts a copy of the store in the store's place while everything is down but the instances.
    pub fn restore_backup(&mut self, store: Store) {
        self.disk.store = store;
        self.restart_orchestrator();
    }

    /// Another release is installed, and the agent started anew from it.
    pub fn upgrade(&mut self, guards: Guards) {
        self.disk.guards = guards;
        self.kill_agent(StartedBy::Person);
    }

    /// Ends a service's runs from outside, as a crash would.
    pub fn crash(&mut self, service: &str, exit: Exit) {
        let runs: Vec<(InstanceUid, u32)> = self
            .alive()
            .filter(|(_, run)| run.slot.service == builder::name(service))
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

    pub(super) fn now(&self) -> Now {
        let moment = Moment {
            boot: BootId(format!("boot-{}", self.lives.boot)),
            since_boot: self.clock - self.booted,
        };
        let wall = WallTime(i64::try_from(self.clock.as_nanos()).unwrap_or(i64::MAX));
        Now { moment, wall }
    }

    pub(super) fn note(&mut self, text: impl std::fmt::Display) {
        self.trace.push(format!("{:>10.3} {text}", self.clock.as_secs_f64()));
    }

    pub(super) fn later(&mut self, wait: Duration, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.clock + wait, self.sequence), (self.lives, event));
    }

    pub(super) fn send(&mut self, event: Event) {
        let wait = self.rng.duration(self.faults.delay);
        self.later(wait, event);
    }
}

pub(super) fn host_id() -> HostId {
    HostId::new("here").expect("a valid name")
}
