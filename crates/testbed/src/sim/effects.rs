//! Effects of both loops, performed late, wrongly or not at all.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::{Exit, HostReport, HostSpec, InstanceUid, Moment, StackId};
use hoist_planner::cluster::{self, OpId};
use hoist_planner::host::{self, StartedBy, Step};

use super::happen::Event;
use super::kernel::Run;
use super::world::{Ended, World};

impl World {
    pub(super) fn perform_host(&mut self, effects: Vec<host::Effect>) {
        for effect in effects {
            match effect {
                host::Effect::Journal(entry) => self.disk.journal(entry),
                host::Effect::StoreSpec(spec) => self.disk.spec(*spec),
                host::Effect::StoreEndpoints(endpoints) => self.disk.endpoints(*endpoints),
                host::Effect::SpecAccepted => {}
                host::Effect::SpecRefused(host::SpecRefusal::Outdated { current }) => {
                    // At once: a delay would take a number from the seed.
                    self.later(Duration::ZERO, Event::Outdated(current));
                }
                host::Effect::SpecRefused(host::SpecRefusal::Altered) => {
                    self.fail("one generation with two contents");
                }
                host::Effect::Perform(step) => self.begin(step),
                host::Effect::ApplyFabric { number, wanted } => self.apply_fabric(number, wanted),
                host::Effect::PublishZone(_) => {}
                host::Effect::Warn(text) => self.note(text),
                host::Effect::Probe(wanted) => self.probe(&wanted),
                // Nothing that is simulated hangs.
                host::Effect::ProbeLiveness(_) => {}
                host::Effect::Watch(wanted) => self.watch(wanted),
                host::Effect::Report(report) => self.send_report(report),
                host::Effect::WakeAt(moment) => self.wake_host(moment),
            }
        }
    }

    pub(super) fn perform_cluster(&mut self, effects: Vec<cluster::Effect>) {
        for effect in effects {
            match effect {
                cluster::Effect::ResolveImages { op, images } => self.send(Event::Images { op, images }),
                cluster::Effect::Store(change) => self.disk.store.write(change),
                cluster::Effect::PutSpec { spec, .. } => {
                    self.check(&spec);
                    self.send(Event::Spec(spec));
                }
                cluster::Effect::PutEndpoints { endpoints, .. } => self.send(Event::Endpoints(endpoints)),
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

    pub(super) fn check(&self, spec: &HostSpec) {
        let problems = hoist_planner::check::spec(spec);
        if !problems.is_empty() {
            self.fail(&format!("a spec contradicts itself: {problems:?}"));
        }
    }

    pub(super) fn emitted(&mut self, op: OpId, stack: &StackId, event: &hoist_model::EventKind) {
        self.note(format!("{stack}: {event:?}"));
        if let hoist_model::EventKind::Verdict(verdict) = event {
            self.operations.insert(op, Some(Ended::Verdict(verdict.clone())));
        }
    }

    pub(super) fn kill(&mut self, uid: InstanceUid) {
        if let Some(run) = self.kernel.runs.get(&uid) {
            let attempt = run.attempt;
            self.later(Duration::ZERO, Event::Exit { uid, attempt, exit: Exit::Signal(9) });
        }
    }

    pub(super) fn begin(&mut self, step: Step) {
        let Some(agent) = &self.agent else { return };
        if let Step::StartInstance { uid, .. } = step {
            let problems = hoist_planner::check::start(agent.host.spec(), agent.host.observed(), uid);
            if !problems.is_empty() {
                self.fail(&format!("a start comes too early: {problems:?}"));
            }
        }
        let spec = agent.host.spec().clone();
        let wait = self.rng.duration(self.faults.slowest);
        let fails = self.rng.chance(self.faults.step_fails);
        let late = self.is_late(&step);
        self.later(wait, Event::Step { step, spec: Box::new(spec), fails, late });
        self.misfortune();
    }

    /// While something is under way, something else may go wrong.
    pub(super) fn misfortune(&mut self) {
        if self.rng.chance(self.faults.reboots) {
            self.reboot();
        } else if self.rng.chance(self.faults.agent_dies) {
            self.kill_agent(StartedBy::Crash);
        } else if self.rng.chance(self.faults.keeper_lost)
            && let Some(agent) = &mut self.agent
            && agent.keeper
        {
            agent.keeper = false;
            self.note("keeper lost");
            self.later(Duration::from_millis(300), Event::KeeperBack);
            self.tell_host(host::Input::KeeperLost);
        } else if self.rng.chance(self.faults.run_dies) {
            self.kill_some_run();
        }
    }

    /// Kills something that would run on: a job that is killed has failed, for everybody to see.
    fn kill_some_run(&mut self) {
        let lasting = |run: &Run| self.behaviour(&run.slot.service).ends.is_none();
        let runs: Vec<_> =
            self.alive().filter(|(_, run)| lasting(run)).map(|(uid, run)| (uid, run.attempt)).collect();
        if !runs.is_empty() {
            let (uid, attempt) = *self.rng.pick(&runs);
            self.note(format!("{} is killed from outside", uid.short()));
            self.later(Duration::ZERO, Event::Exit { uid, attempt, exit: Exit::Signal(9) });
        }
    }

    /// The keeper's record of something that runs is gone.
    pub(super) fn lose_record(&mut self) {
        let runs: Vec<_> = self.alive().map(|(uid, _)| uid).collect();
        if !runs.is_empty() {
            let uid = *self.rng.pick(&runs);
            self.note(format!("the record of {} is lost", uid.short()));
            self.kernel.unkept.insert(uid);
        }
    }

    pub(super) fn probe(&mut self, wanted: &BTreeMap<InstanceUid, host::Probing>) {
        let now = self.now().moment;
        let Some(agent) = &mut self.agent else { return };
        for (uid, attempt, due) in agent.probe(wanted) {
            self.later(due.since(&now).unwrap_or_default(), Event::Probe { uid, attempt });
        }
    }

    pub(super) fn watch(&mut self, wanted: BTreeMap<InstanceUid, host::Watching>) {
        let now = self.now().moment;
        let Some(agent) = &mut self.agent else { return };
        let new: Vec<_> = wanted.iter().filter(|(uid, w)| agent.watched.get(uid) != Some(w)).collect();
        let new: Vec<_> = new.into_iter().map(|(uid, w)| (*uid, w.clone())).collect();
        agent.watched = wanted;
        for (uid, watching) in new {
            let attempt = watching.attempt;
            match watching.look {
                host::Look::Listeners { .. } => {
                    let service = self.kernel.runs.get(&uid).map(|run| run.slot.service.clone());
                    let after = service.map(|service| self.behaviour(&service).healthy_after);
                    if let Some(after) = after.filter(|after| *after < Duration::from_secs(1000)) {
                        self.later(after, Event::Listens { uid, attempt });
                    }
                }
                host::Look::Connections { from, .. } => {
                    let rest = self.rng.duration(Duration::from_secs(2));
                    self.later(from.since(&now).unwrap_or_default() + rest, Event::Idle { uid, attempt });
                }
            }
        }
    }

    pub(super) fn wake_host(&mut self, moment: Moment) {
        let wait = moment.since(&self.now().moment).unwrap_or_default();
        if let Some(agent) = &mut self.agent {
            agent.wake = Some(moment.clone());
            self.later(wait, Event::HostTimer(moment));
        }
    }

    pub(super) fn send_report(&mut self, report: Box<HostReport>) {
        let arrival = (self.clock + self.rng.duration(self.faults.delay)).max(self.last_report);
        self.last_report = arrival;
        self.later(arrival - self.clock, Event::Report(report));
    }
}
