//! How each input changes what is known. No decision is made here: the plan that follows decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hoist_model::{Exit, Health, HostSpec, InstanceUid, ProbeRecord, WantedRun};

use super::control::{HostLoop, Shown};
use super::{
    Birth, Effect, EndedBy, FabricProgress, FabricSeen, Fault, HostPlan, Input, Instance, Life, Observed,
    PublishSeen, Restored, SpecRefusal, StartedBy, Step, StepError,
};
use crate::Now;

/// The pause before a failed step is tried again: doubling from a second to a minute.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// How often a refused host port is tried again.
const PORT_RETRY: Duration = Duration::from_secs(5);

/// The loop as the journal has it, moved into this boot and epoch.
pub(super) fn restored(restored: Restored) -> HostLoop {
    // Epochs are counted on where the journal was lost: what a person stopped in one stays so for all of it.
    let (known_epoch, known_boot) = restored
        .daemon
        .unwrap_or_else(|| (restored.spec.as_ref().map_or(0, last_stop), restored.boot.clone()));
    let rebooted = known_boot != restored.boot;
    let fresh = known_epoch == 0 || rebooted || restored.started_by == StartedBy::Person;
    let epoch = known_epoch + u64::from(fresh);
    let mut instances = restored.instances;
    let mut touched = BTreeSet::new();
    for (uid, instance) in instances.iter_mut().filter(|_| rebooted) {
        went_down(instance, known_epoch);
        touched.insert(*uid);
    }
    let spec = restored.spec.unwrap_or_default();
    // What an earlier version journalled may lack what is known by now.
    for (uid, instance) in &mut instances {
        if let Some(birth) = Birth::of(&spec, *uid).filter(|birth| *birth != instance.birth) {
            instance.birth = birth;
            touched.insert(*uid);
        }
    }
    let observed = Observed {
        boot: restored.boot,
        epoch,
        instances,
        networks: BTreeMap::new(),
        volumes: BTreeSet::new(),
        memory: None,
        fabric: FabricProgress::default(),
        withdrawn: BTreeMap::new(),
        published: BTreeMap::new(),
        routes: Vec::new(),
        in_flight: BTreeSet::new(),
        faults: BTreeMap::new(),
        strays: BTreeMap::new(),
        unkept: BTreeSet::new(),
        detached: BTreeSet::new(),
        keeper: false,
    };
    HostLoop {
        host: restored.host,
        spec,
        endpoints: restored.endpoints.unwrap_or_default(),
        observed,
        guards: restored.guards,
        found_epoch: known_epoch,
        adopted: false,
        making: BTreeMap::new(),
        touched,
        plan: HostPlan::default(),
        shown: Shown::default(),
    }
}

/// The last epoch that a person stopped something in.
fn last_stop(spec: &HostSpec) -> u64 {
    let stops = spec.instances.values().map(|instance| match instance.run {
        WantedRun::Stopped { epoch } => epoch,
        WantedRun::Running => 0,
    });
    stops.max().unwrap_or(0)
}

/// The machine went down under an instance.
fn went_down(instance: &mut Instance, epoch: u64) {
    let ran = instance.starts > 0 || matches!(instance.life, Life::Running { .. });
    match &mut instance.life {
        Life::Running { .. } | Life::Launching if ran => {
            instance.life = Life::Ended { exit: Exit::Unknown, at: None, by: EndedBy::Reboot, epoch };
            instance.exit = Some(Exit::Unknown);
        }
        Life::Launching => instance.life = Life::Created,
        // A moment of another boot means nothing in this one.
        Life::Ended { at, .. } => *at = None,
        Life::Running { .. } | Life::Making | Life::Created => {}
    }
    instance.stopping = None;
    instance.draining = None;
    instance.gap = None;
    instance.come_up = false;
    instance.unfit = false;
    instance.health = Health::None;
    instance.probe = None;
}

impl HostLoop {
    pub(super) fn absorb(&mut self, now: &Now, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Adopted(adopted) => self.adopt(now, adopted),
            Input::KeeperLost => self.observed.keeper = false,
            Input::SpecPut(spec) => self.put_spec(*spec, effects),
            Input::EndpointsPut(endpoints) => {
                if endpoints.generation > self.endpoints.generation {
                    self.endpoints = (*endpoints).clone();
                    effects.push(Effect::StoreEndpoints(endpoints));
                }
            }
            Input::StepDone { step, result } => self.done(now, &step, result),
            Input::Exited { uid, attempt, exit, oom_killed } => {
                self.exited(now, uid, attempt, exit, oom_killed);
            }
            Input::Probed { uid, attempt, health, probe } => self.probed(uid, attempt, health, probe),
            Input::Unfit { uid, attempt, probe } => self.is_unfit(uid, attempt, probe),
            Input::Listens { uid, attempt, ports } => self.listens(uid, attempt, ports),
            Input::Idle { uid, attempt } => self.is_idle(uid, attempt),
            Input::FabricApplied(seen) => self.fabric_applied(now, seen),
            Input::Routes(routes) => self.observed.routes = routes,
            Input::Timer => self.timer(now),
        }
    }

    /// The ledger's rule: never an older spec, never another one under the same generation.
    fn put_spec(&mut self, spec: HostSpec, effects: &mut Vec<Effect>) {
        let current = self.spec.generation;
        effects.push(match spec.generation.cmp(&current) {
            std::cmp::Ordering::Less => Effect::SpecRefused(SpecRefusal::Outdated { current }),
            std::cmp::Ordering::Equal if spec == self.spec => Effect::SpecAccepted,
            std::cmp::Ordering::Equal => Effect::SpecRefused(SpecRefusal::Altered),
            std::cmp::Ordering::Greater => {
                self.accept(spec.clone());
                Effect::StoreSpec(Box::new(spec))
            }
        });
    }

    fn accept(&mut self, spec: HostSpec) {
        self.spec = spec;
        // A person changed something: what failed is worth another try at once.
        self.observed.faults.clear();
        self.observed.published.retain(|_, seen| matches!(seen, PublishSeen::Reserved(_)));
        self.shown.fabric = None;
        for (uid, instance) in &mut self.observed.instances {
            let Some(birth) = Birth::of(&self.spec, *uid) else { continue };
            if instance.birth != birth {
                instance.birth = birth;
                self.touched.insert(*uid);
            }
        }
    }

    pub(super) fn exited(&mut self, now: &Now, uid: InstanceUid, attempt: u32, exit: Exit, oom_killed: bool) {
        if let Some(alive) = self.observed.strays.get_mut(&uid) {
            *alive = false;
            return;
        }
        let told = self.told_to_end(uid);
        let epoch = self.observed.epoch;
        let Some(instance) = self.observed.instances.get_mut(&uid) else { return };
        let current = match instance.life {
            Life::Running { .. } => attempt == instance.starts,
            // It ended before the launch was reported done.
            Life::Launching => attempt == instance.starts + 1,
            Life::Making | Life::Created | Life::Ended { .. } => false,
        };
        if current {
            let by = if told { EndedBy::Hoist } else { EndedBy::Itself };
            instance.ended(attempt, Life::Ended { exit, at: Some(now.moment.clone()), by, epoch }, now);
            instance.oom_killed |= oom_killed;
            self.touched.insert(uid);
            self.observed.detached.remove(&uid);
            self.observed.faults.remove(&Step::AttachInstance(uid));
        }
    }

    fn told_to_end(&self, uid: InstanceUid) -> bool {
        let told = self.observed.instances.get(&uid).is_some_and(|instance| instance.stopping.is_some());
        told || self.observed.in_flight.iter().any(|step| match step {
            Step::SignalInstance { uid: other, .. } | Step::KillInstance(other) => *other == uid,
            _ => false,
        })
    }

    fn probed(&mut self, uid: InstanceUid, attempt: u32, health: Health, probe: Option<ProbeRecord>) {
        let restarts = self.restarts_unhealthy(uid);
        let Some(instance) = self.observed.instances.get_mut(&uid) else { return };
        let current = matches!(instance.life, Life::Running { .. }) && instance.starts == attempt;
        if current && instance.health != health {
            instance.unfit |= health == Health::Unhealthy && restarts;
            instance.health = health;
            instance.probe = probe.filter(|_| health == Health::Unhealthy);
            self.touched.insert(uid);
        }
    }

    fn fabric_applied(&mut self, now: &Now, seen: FabricSeen) {
        let mended = |step: &Step| matches!(step, Step::AttachInstance(uid) if !seen.detached.contains(uid));
        self.observed.faults.retain(|step, _| !mended(step));
        self.observed.detached = seen.detached;
        if let Some(application) = seen.applied {
            self.observed.fabric.applied(application, now);
        }
        let before = std::mem::take(&mut self.observed.published);
        for (key, result) in seen.published {
            let seen = match result {
                Ok(report) => PublishSeen::Reserved(report),
                Err(error) => {
                    let failures = match before.get(&key) {
                        Some(PublishSeen::Refused(fault)) => fault.failures + 1,
                        _ => 1,
                    };
                    let retry = Some(now.moment.after(PORT_RETRY));
                    PublishSeen::Refused(Fault { what: error.what, hint: error.hint, failures, retry })
                }
            };
            self.observed.published.insert(key, seen);
        }
    }

    fn timer(&mut self, now: &Now) {
        // The wake-up is used up, whether it was due or not.
        self.shown.wake = None;
        if self.observed.fabric.try_again(now) {
            self.shown.fabric = None;
        }
        for seen in self.observed.published.values_mut() {
            let PublishSeen::Refused(fault) = seen else { continue };
            if fault.retry.as_ref().is_some_and(|retry| retry.since_boot <= now.moment.since_boot) {
                fault.retry = Some(now.moment.after(PORT_RETRY));
                self.shown.fabric = None;
            }
        }
    }
}

/// A failure and when to try again.
pub(super) fn fault(error: StepError, before: u32, now: &Now) -> Fault {
    let StepError { what, hint, permanent } = error;
    let wait = Duration::from_secs(1 << before.min(6)).min(LONGEST_RETRY);
    let retry = (!permanent).then(|| now.moment.after(wait));
    Fault { what, hint, failures: before + 1, retry }
}
