//! Events: what they do to the simulated host, and who hears of them.

use std::collections::BTreeSet;
use std::time::Duration;

use hoist_model::{Exit, Generation, HostReport, HostSpec, InstanceUid, Moment, ServiceName};
use hoist_planner::check;
use hoist_planner::cluster::{self, OpId};
use hoist_planner::host::{self, FabricWanted, HostLoop, StartedBy, Step, StepError, StepOk};

use super::agent::Agent;
use super::faults::Behaviour;
use super::world::{World, host_id};
use crate::builder;

#[derive(Debug)]
pub(super) enum Event {
    Step { step: Step, spec: Box<HostSpec>, fails: bool, late: bool },
    Exit { uid: InstanceUid, attempt: u32, exit: Exit },
    Probe { uid: InstanceUid, attempt: u32 },
    Listens { uid: InstanceUid, attempt: u32 },
    Idle { uid: InstanceUid, attempt: u32 },
    HostTimer(Moment),
    ClusterTimer,
    Fabric { number: u64, wanted: Box<FabricWanted>, fails: bool },
    Report(Box<HostReport>),
    Spec(Box<HostSpec>),
    Outdated(Generation),
    Endpoints(Box<hoist_model::Endpoints>),
    Images { op: OpId, images: Vec<cluster::ImageWanted> },
    AgentUp(StartedBy),
    KeeperBack,
}

/// Whose death makes an event void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lives {
    pub(super) boot: u32,
    pub(super) agent: u32,
    pub(super) orchestrator: u32,
}

impl World {
    /// The earliest event happens. False when there is none.
    pub(super) fn advance(&mut self) -> bool {
        let Some(((at, _), (lives, event))) = self.queue.pop_first() else { return false };
        self.clock = self.clock.max(at);
        if self.due(lives, &event) {
            self.happen(event);
        }
        true
    }

    /// Whether an event still has somebody to happen to.
    pub(super) fn due(&self, then: Lives, event: &Event) -> bool {
        let (boot, agent) = (then.boot == self.lives.boot, then.agent == self.lives.agent);
        match event {
            Event::Exit { .. } => boot,
            Event::Step { .. }
            | Event::Probe { .. }
            | Event::Listens { .. }
            | Event::Idle { .. }
            | Event::HostTimer(_)
            | Event::Fabric { .. }
            | Event::KeeperBack => boot && agent,
            Event::ClusterTimer
            | Event::Images { .. }
            | Event::Report(_)
            | Event::Spec(_)
            | Event::Outdated(_)
            | Event::Endpoints(_) => then.orchestrator == self.lives.orchestrator,
            Event::AgentUp(_) => agent,
        }
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Step { step, spec, fails, late } => {
                let result = self.step_happens(&step, &spec, fails, late);
                self.tell_host(host::Input::StepDone { step, result });
            }
            Event::Exit { uid, attempt, exit } => self.exit_happens(uid, attempt, exit),
            Event::Probe { uid, attempt } => self.probe_happens(uid, attempt),
            Event::Listens { uid, attempt } => self.listens_happens(uid, attempt),
            Event::Idle { uid, attempt } => self.tell_host(host::Input::Idle { uid, attempt }),
            Event::HostTimer(at) => {
                if self.agent.as_ref().is_some_and(|agent| agent.wake == Some(at)) {
                    self.tell_host(host::Input::Timer);
                }
            }
            Event::ClusterTimer => self.tell_cluster(cluster::Input::Timer),
            Event::Fabric { number, wanted, fails } => self.fabric_happens(number, &wanted, fails),
            Event::Report(report) => self.tell_cluster(cluster::Input::Report(report)),
            Event::Spec(spec) if self.agent.is_none() => {
                self.later(Duration::from_millis(50), Event::Spec(spec));
            }
            Event::Spec(spec) => self.tell_host(host::Input::SpecPut(spec)),
            Event::Outdated(current) => {
                self.tell_cluster(cluster::Input::Outdated { host: host_id(), current });
            }
            Event::Endpoints(endpoints) if self.agent.is_none() => {
                self.later(Duration::from_millis(50), Event::Endpoints(endpoints));
            }
            Event::Endpoints(endpoints) => self.tell_host(host::Input::EndpointsPut(endpoints)),
            Event::Images { op, images } => {
                let settled =
                    |image: &cluster::ImageWanted| (image.service.clone(), Ok(builder::image(&image.source)));
                let images = images.iter().map(settled).collect();
                self.tell_cluster(cluster::Input::ImagesResolved { op, images });
            }
            Event::AgentUp(started_by) => self.agent_up(started_by),
            Event::KeeperBack => self.keeper_back(),
        }
    }

    pub(super) fn agent_up(&mut self, started_by: StartedBy) {
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

    pub(super) fn keeper_back(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.keeper = true;
            if self.rng.chance(self.faults.record_lost) {
                self.lose_record();
            }
            let adopted = self.kernel.adopted();
            self.tell_host(host::Input::Adopted(adopted));
        }
    }

    pub(super) fn tell_host(&mut self, input: host::Input) {
        let now = self.now();
        let Some(agent) = &mut self.agent else { return };
        let effects = agent.host.step(&now, input);
        self.done.look(&agent.host);
        let misled = check::traffic(agent.host.endpoints(), agent.host.observed(), agent.host.plan());
        let texts: Vec<String> =
            agent.host.plan().steps.iter().map(|p| format!("{}, because {}", p.step, p.cause)).collect();
        for text in texts {
            self.note(text);
        }
        if let Some(problem) = misled.first() {
            self.fail(&problem.to_string());
        }
        self.perform_host(effects);
    }

    pub(super) fn tell_cluster(&mut self, input: cluster::Input) {
        let now = self.now();
        let effects = self.orchestrator.step(&now, input, &mut self.ids);
        self.perform_cluster(effects);
    }

    pub(super) fn step_happens(
        &mut self,
        step: &Step,
        spec: &HostSpec,
        fails: bool,
        late: bool,
    ) -> host::StepResult {
        let keeper = self.agent.as_ref().is_none_or(|agent| agent.keeper);
        let needs_keeper = matches!(
            step,
            Step::StartInstance { .. }
                | Step::SignalInstance { .. }
                | Step::DrainInstance { .. }
                | Step::RunHook { .. }
                | Step::RenewContents { .. }
                | Step::KillInstance(_)
        );
        if fails || needs_keeper && !keeper {
            // A keeper may have launched it and been killed before it said so; its successor finds it running.
            if !fails && matches!(step, Step::StartInstance { .. }) && self.rng.chance(500) {
                let _ = self.carry_out(step, spec, late);
            }
            Err(StepError { what: "a simulated failure".to_owned(), hint: None, permanent: false })
        } else {
            self.carry_out(step, spec, late)
        }
    }

    pub(super) fn carry_out(&mut self, step: &Step, spec: &HostSpec, late: bool) -> host::StepResult {
        if let Err(broken) = self.kernel.perform(step, spec) {
            self.fail(&broken);
        }
        match step {
            Step::StartInstance { uid, attempt } => return self.launch(*uid, *attempt, spec),
            Step::SignalInstance { uid, .. } => self.signal(*uid, late),
            Step::KillInstance(uid) => self.kill(*uid),
            Step::ClearInstance(uid) => self.kernel.clear(*uid),
            _ => {}
        }
        Ok(StepOk::default())
    }

    pub(super) fn behaviour(&self, service: &ServiceName) -> Behaviour {
        self.behaviours.get(service).cloned().unwrap_or_default()
    }

    pub(super) fn launch(&mut self, uid: InstanceUid, attempt: u32, spec: &HostSpec) -> host::StepResult {
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

    /// One that is told `late` may still get new connections: the network couldn't be changed.
    pub(super) fn signal(&mut self, uid: InstanceUid, late: bool) {
        let Some(run) = self.kernel.runs.get_mut(&uid) else { return };
        run.spared |= !late;
        let (attempt, service) = (run.attempt, run.slot.service.clone());
        self.check_traffic();
        if let Some(after) = self.behaviour(&service).stops_after {
            self.later(after, Event::Exit { uid, attempt, exit: Exit::Signal(15) });
        }
    }

    pub(super) fn exit_happens(&mut self, uid: InstanceUid, attempt: u32, exit: Exit) {
        // Nobody reads the status while the keeper is dead.
        let keeper =
            self.agent.as_ref().is_none_or(|agent| agent.keeper) && !self.kernel.unkept.contains(&uid);
        let seen = if keeper { exit } else { Exit::Unknown };
        if self.kernel.end(uid, attempt, seen) && keeper {
            self.note(format!("{} of {} {exit}", attempt, uid.short()));
            self.tell_host(host::Input::Exited { uid, attempt, exit, oom_killed: false });
        }
    }

    pub(super) fn probe_happens(&mut self, uid: InstanceUid, attempt: u32) {
        let now = self.now().moment;
        let Some(run) = self.kernel.runs.get(&uid).filter(|run| run.ended.is_none()) else { return };
        let age = now.since(&run.since).unwrap_or_default();
        let passed = age >= self.behaviour(&run.slot.service).healthy_after;
        let Some(agent) = &mut self.agent else { return };
        let Some((probed, prober)) = agent.probers.get_mut(&uid) else { return };
        if *probed != attempt {
            return;
        }
        let changed = prober.probed(passed, &now, &now);
        let due = prober.due().since(&now).unwrap_or_default();
        self.later(due, Event::Probe { uid, attempt });
        if let Some(health) = changed {
            self.tell_host(host::Input::Probed { uid, attempt, health, probe: None });
        }
    }

    /// A program listens where its service says, once it is as far as to be healthy.
    pub(super) fn listens_happens(&mut self, uid: InstanceUid, attempt: u32) {
        let Some(agent) = &self.agent else { return };
        let Some(instance) = agent.host.observed().instances.get(&uid) else { return };
        let declared = &instance.birth.handover;
        // The same program listens where it did before, whatever its file declares by now.
        let all = agent.host.observed().instances.values();
        let before = all.filter(|other| other.birth.slot == instance.birth.slot);
        let before: BTreeSet<_> = before.flat_map(|other| other.listening.iter().copied()).collect();
        let ports = &(&declared.targets() | &declared.expose) | &before;
        self.tell_host(host::Input::Listens { uid, attempt, ports });
    }

    /// What the dead agent had begun has come about, or never will: the next one finds either.
    pub(super) fn settle_steps(&mut self) {
        let mut fabric = None;
        let begun: Vec<(Duration, u64)> = self
            .queue
            .iter()
            .filter(|(_, (_, event))| matches!(event, Event::Step { .. } | Event::Fabric { .. }))
            .map(|(at, _)| *at)
            .collect();
        for at in begun {
            match self.queue.remove(&at) {
                Some((lives, Event::Step { step, spec, fails, late }))
                    if lives == self.lives && self.rng.chance(500) =>
                {
                    let _ = self.step_happens(&step, &spec, fails, late);
                }
                Some((lives, Event::Fabric { wanted, .. })) if lives == self.lives => fabric = Some(wanted),
                _ => {}
            }
        }
        self.settle_network(fabric);
    }
}
