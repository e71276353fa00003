//! What is known once a step begins, and once it is done.

use std::time::Duration;

use hoist_model::{Exit, Health, HostSpec, InstanceUid, Moment, NetworkReport};

use super::control::HostLoop;
use super::restart::{self, Due, StartCause};
use super::transition::fault;
use super::{Adopted, Birth, EndedBy, Instance, Life, Process, Step, StepResult, Stopping};
use crate::Now;

impl Birth {
    /// What an instance of the spec is made with; none when the spec, or its template, isn't there.
    #[must_use]
    pub fn of(spec: &HostSpec, uid: InstanceUid) -> Option<Birth> {
        let instance = spec.instances.get(&uid)?;
        let template = spec.templates.get(&instance.template)?;
        Some(Birth {
            slot: instance.slot.clone(),
            kind: instance.kind,
            revision: instance.revision,
            template: instance.template,
            stop_signal: crate::stop_signal(template),
            stop_grace: template.service.stop_grace_period,
            depends_on: instance.gates.iter().map(|gate| gate.service.clone()).collect(),
            addresses: instance.addresses.clone(),
            volumes: template.volumes.values().cloned().collect(),
        })
    }
}

impl Instance {
    fn born(birth: Birth, spec: &HostSpec, uid: InstanceUid, now: &Now) -> Self {
        let wanted = spec.instances.get(&uid);
        Self {
            birth,
            life: Life::Making,
            starts: 0,
            restarts: 0,
            pause: Duration::ZERO,
            restart_nonce: wanted.map_or(0, |wanted| wanted.restart_nonce),
            start_nonce: wanted.map_or(0, |wanted| wanted.start_nonce),
            health: Health::None,
            oom_killed: false,
            stopping: None,
            created: now.wall,
            started: None,
            finished: None,
            exit: None,
            fault: None,
        }
    }

    /// Its process runs, as start number `attempt`.
    fn running(&mut self, attempt: u32, since: Moment, pid: i32, checked: bool, now: &Now) {
        self.life = Life::Running { since, pid };
        self.starts = attempt;
        self.started = Some(now.wall);
        self.health = if checked { Health::Starting } else { Health::None };
        self.oom_killed = false;
        self.fault = None;
    }

    /// Run number `attempt` is over; `life` says how.
    pub(super) fn ended(&mut self, attempt: u32, life: Life, now: &Now) {
        let since = match &self.life {
            Life::Running { since, .. } => now.moment.since(since),
            _ => None,
        };
        if let Life::Ended { exit, .. } = &life {
            self.exit = Some(*exit);
        }
        self.pause = restart::pause(self.pause, since.unwrap_or_default());
        self.life = life;
        self.starts = attempt;
        self.started = self.started.or(Some(now.wall));
        self.finished = Some(now.wall);
        self.stopping = None;
        self.health = Health::None;
        self.fault = None;
    }
}

impl HostLoop {
    /// A person's wish to start is fulfilled where the instance runs already, and isn't about to end.
    pub(super) fn satisfy_starts(&mut self) {
        for (uid, spec) in &self.spec.instances {
            let Some(instance) = self.observed.instances.get_mut(uid) else { continue };
            let runs = matches!(instance.life, Life::Running { .. }) && instance.stopping.is_none();
            if runs && instance.start_nonce < spec.start_nonce {
                instance.start_nonce = spec.start_nonce;
                self.touched.insert(*uid);
            }
        }
    }

    pub(super) fn begin(&mut self, now: &Now, step: &Step) {
        self.observed.in_flight.insert(step.clone());
        match step {
            Step::CreateInstance(uid) => {
                let Some(birth) = Birth::of(&self.spec, *uid) else { return };
                let born = || Instance::born(birth, &self.spec, *uid, now);
                self.observed.instances.entry(*uid).or_insert_with(born);
                self.touched.insert(*uid);
            }
            Step::StartInstance { uid, .. } => self.launch(now, *uid),
            Step::EnsureNetwork(id) => {
                let subnets = self.spec.networks.get(id).map(|network| network.subnets.clone());
                self.making.insert(id.clone(), subnets.unwrap_or_default());
            }
            Step::RemoveNetwork(_)
            | Step::EnsureVolume(_)
            | Step::RemoveVolume(_)
            | Step::SignalInstance { .. }
            | Step::KillInstance(_)
            | Step::RemoveInstance(_) => {}
        }
    }

    fn launch(&mut self, now: &Now, uid: InstanceUid) {
        let (Some(spec), Some(instance)) =
            (self.spec.instances.get(&uid), self.observed.instances.get_mut(&uid))
        else {
            return;
        };
        match restart::due(spec, instance, self.observed.epoch, &now.moment) {
            Due::Now(StartCause::Policy) => instance.restarts += 1,
            // The next try of a launch that failed belongs to the same restart.
            Due::Now(StartCause::First) => {}
            Due::Now(StartCause::Start | StartCause::Restart | StartCause::Daemon)
            | Due::Stay
            | Due::At(_) => {
                instance.restarts = 0;
                instance.pause = Duration::ZERO;
            }
        }
        instance.life = Life::Launching;
        instance.start_nonce = spec.start_nonce;
        instance.restart_nonce = spec.restart_nonce;
        self.touched.insert(uid);
    }

    pub(super) fn done(&mut self, now: &Now, step: &Step, result: StepResult) {
        if !self.observed.in_flight.remove(step) {
            return;
        }
        match result {
            Ok(ok) => {
                self.observed.faults.remove(step);
                self.succeeded(now, step, ok.pid.unwrap_or(0));
            }
            Err(error) => self.failed(now, step, error),
        }
    }

    fn succeeded(&mut self, now: &Now, step: &Step, pid: i32) {
        match step {
            Step::EnsureNetwork(id) => {
                let subnets = self.making.remove(id).unwrap_or_default();
                self.observed.networks.insert(id.clone(), NetworkReport { subnets });
            }
            Step::RemoveNetwork(id) => drop(self.observed.networks.remove(id)),
            Step::EnsureVolume(id) => drop(self.observed.volumes.insert(id.clone())),
            Step::RemoveVolume(id) => drop(self.observed.volumes.remove(id)),
            Step::RemoveInstance(uid) => {
                self.observed.instances.remove(uid);
                self.observed.strays.remove(uid);
                self.observed.faults.retain(|step, _| step.instance() != Some(*uid));
                self.touched.insert(*uid);
            }
            Step::CreateInstance(uid) => self.change(*uid, |instance| instance.life = Life::Created),
            Step::StartInstance { uid, attempt } => {
                let checked = self.checked(*uid);
                self.change(*uid, |instance| {
                    // It may have ended already.
                    if instance.life == Life::Launching {
                        instance.running(*attempt, now.moment.clone(), pid, checked, now);
                    }
                });
            }
            Step::SignalInstance { uid, .. } => self.told(now, *uid, false),
            Step::KillInstance(uid) => self.told(now, *uid, true),
        }
    }

    fn failed(&mut self, now: &Now, step: &Step, error: super::StepError) {
        if let Step::StartInstance { uid, .. } = step {
            self.change(*uid, |instance| {
                if instance.life == Life::Launching {
                    let before = instance.fault.as_ref().map_or(0, |fault| fault.failures);
                    instance.life = Life::Created;
                    instance.fault = Some(fault(error, before, now));
                }
            });
        } else {
            let before = self.observed.faults.get(step).map_or(0, |fault| fault.failures);
            self.observed.faults.insert(step.clone(), fault(error, before, now));
        }
    }

    fn told(&mut self, now: &Now, uid: InstanceUid, killed: bool) {
        self.change(uid, |instance| {
            if matches!(instance.life, Life::Running { .. }) {
                let since = instance.stopping.take().map_or_else(|| now.moment.clone(), |told| told.since);
                instance.stopping = Some(Stopping { since, killed });
            }
        });
    }

    fn change(&mut self, uid: InstanceUid, change: impl FnOnce(&mut Instance)) {
        if let Some(instance) = self.observed.instances.get_mut(&uid) {
            change(instance);
            self.touched.insert(uid);
        }
    }

    fn checked(&self, uid: InstanceUid) -> bool {
        let spec = self.spec.instances.get(&uid);
        let template = spec.and_then(|spec| self.spec.templates.get(&spec.template));
        template.is_some_and(|template| crate::health_check(template).is_some())
    }

    /// Compares the journal with what exists. What the keeper doesn't list has ended, nobody knows how.
    pub(super) fn adopt(&mut self, now: &Now, adopted: Adopted) {
        let Adopted { mut processes, networks, volumes, routes } = adopted;
        let uids: Vec<InstanceUid> = self.observed.instances.keys().copied().collect();
        for uid in uids {
            self.adopt_one(now, uid, processes.remove(&uid));
        }
        for (uid, process) in processes {
            self.adopt_unknown(now, uid, process);
        }
        self.observed.networks = networks;
        self.observed.volumes = volumes.into_iter().collect();
        self.observed.routes = routes;
        self.observed.keeper = true;
        self.adopted = true;
        self.found_epoch = self.observed.epoch;
    }

    fn adopt_one(&mut self, now: &Now, uid: InstanceUid, process: Option<Process>) {
        let checked = self.checked(uid);
        let (epoch, told) =
            (self.found_epoch, self.observed.instances.get(&uid).map(|i| i.stopping.is_some()));
        let launching = self
            .observed
            .in_flight
            .iter()
            .any(|step| matches!(step, Step::StartInstance { uid: other, .. } if *other == uid));
        let Some(instance) = self.observed.instances.get_mut(&uid) else { return };
        let by = if told == Some(true) { EndedBy::Hoist } else { EndedBy::Itself };
        let before = instance.clone();
        let latest = process.filter(|process| process.attempt >= instance.starts);
        match (latest, &instance.life) {
            (Some(Process { attempt, ended: Some((exit, oom)), .. }), life)
                if !matches!(life, Life::Ended { .. }) || attempt > instance.starts =>
            {
                instance.ended(attempt, Life::Ended { exit, at: Some(now.moment.clone()), by, epoch }, now);
                instance.oom_killed |= oom;
            }
            (Some(Process { attempt, since, pid, ended: None }), life) => {
                let same = matches!(life, Life::Running { pid: known, .. } if *known == pid)
                    && attempt == instance.starts;
                if !same {
                    instance.running(attempt, since, pid, checked, now);
                }
            }
            (None, Life::Running { .. }) => {
                let exit = Exit::Unknown;
                let starts = instance.starts;
                instance.ended(starts, Life::Ended { exit, at: Some(now.moment.clone()), by, epoch }, now);
            }
            // The launch was lost, unless it is under way right now.
            (None, Life::Launching) if !launching => instance.life = Life::Created,
            (Some(_) | None, _) => {}
        }
        if *instance != before {
            self.touched.insert(uid);
        }
    }

    /// The keeper has a run that the journal doesn't: made anew from the spec, else put an end to.
    fn adopt_unknown(&mut self, now: &Now, uid: InstanceUid, process: Process) {
        let Some(birth) = Birth::of(&self.spec, uid) else {
            self.observed.strays.insert(uid, process.ended.is_none());
            return;
        };
        let mut instance = Instance::born(birth, &self.spec, uid, now);
        instance.life = Life::Created;
        self.observed.instances.insert(uid, instance);
        self.touched.insert(uid);
        self.adopt_one(now, uid, Some(process));
    }
}
