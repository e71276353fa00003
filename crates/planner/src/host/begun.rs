//! What is known once a step begins, and once it is done.

use std::time::Duration;

use hoist_model::{InstanceUid, NetworkMode, NetworkReport};

use super::control::HostLoop;
use super::restart::{self, Due, StartCause};
use super::transition::fault;
use super::view::View;
use super::{Birth, Instance, Joined, Life, Step, StepError, StepResult, Stopping, shared};
use crate::Now;

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
                let guards = self.guards;
                let born = || Instance { guards, ..Instance::born(birth, &self.spec, *uid, now) };
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
            | Step::AttachInstance(_)
            | Step::SignalInstance { .. }
            | Step::DrainInstance { .. }
            | Step::RenewContents { .. }
            | Step::KillInstance(_)
            | Step::ClearInstance(_)
            | Step::CarryVolumes { .. }
            | Step::RemoveInstance(_) => {}
            Step::RunHook { uid, moment, .. } => self.hook_begins(*uid, *moment),
        }
    }

    fn launch(&mut self, now: &Now, uid: InstanceUid) {
        let joined = self.joins(now, uid);
        let contents = self.contents_of(uid);
        let (Some(spec), Some(instance)) =
            (self.spec.instances.get(&uid), self.observed.instances.get_mut(&uid))
        else {
            return;
        };
        let template = self.spec.templates.get(&spec.template);
        let pacing = template.map(|template| template.service.restart_pacing).unwrap_or_default();
        match restart::due(spec, pacing, instance, self.observed.epoch, &now.moment) {
            Due::Now(StartCause::Policy) => instance.restarts = restart::counted(pacing, instance) + 1,
            // The next try of a launch that failed belongs to the same restart.
            Due::Now(StartCause::First) => {}
            Due::Now(StartCause::Start | StartCause::Restart | StartCause::Daemon | StartCause::Network)
            | Due::Stay
            | Due::At(_) => {
                instance.restarts = 0;
                instance.pause = Duration::ZERO;
            }
        }
        instance.life = Life::Launching;
        instance.guards = self.guards;
        instance.joined = joined;
        instance.contents = contents;
        instance.start_nonce = spec.start_nonce;
        instance.restart_nonce = spec.restart_nonce;
        self.touched.insert(uid);
    }

    fn joins(&self, now: &Now, uid: InstanceUid) -> Option<Joined> {
        let spec = self.spec.instances.get(&uid)?;
        let template = self.spec.templates.get(&spec.template)?;
        let shares = matches!(template.service.network_mode, NetworkMode::Service(_));
        shares.then(|| shared::current(&View::new(&self.input(now, &self.observed)), spec)).flatten()
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
                self.observed.unkept.remove(uid);
                self.observed.faults.retain(|step, _| step.instance() != Some(*uid));
                self.touched.insert(*uid);
            }
            Step::CreateInstance(uid) => self.change(*uid, |instance| instance.life = Life::Created),
            Step::StartInstance { uid, attempt } => {
                let checked = self.checked(*uid);
                // Whatever was seen of an earlier run is over.
                self.observed.unkept.remove(uid);
                self.observed.detached.remove(uid);
                self.change(*uid, |instance| {
                    // It may have ended already; and while it was launched, something may have been learnt of the run
                    // before it.
                    if instance.life == Life::Launching || !instance.alive() && instance.starts < *attempt {
                        instance.running(*attempt, now.moment.clone(), pid, checked, now);
                    }
                });
            }
            Step::SignalInstance { uid, .. } => self.told(now, *uid, false),
            Step::DrainInstance { uid, .. } => self.change(*uid, |instance| {
                if let Some(draining) = &mut instance.draining {
                    draining.signalled = true;
                }
            }),
            Step::RunHook { uid, attempt, moment, index } => {
                self.hook_done(*uid, *attempt, *moment, *index);
            }
            Step::RenewContents { uid, attempt, contents, .. } => self.change(*uid, |instance| {
                if instance.starts == *attempt {
                    instance.contents = Some(contents.clone());
                }
            }),
            Step::KillInstance(uid) => self.told(now, *uid, true),
            Step::ClearInstance(uid) => drop(self.observed.unkept.remove(uid)),
            Step::CarryVolumes { to, .. } => self.change(*to, |instance| instance.carried = true),
            Step::AttachInstance(uid) => drop(self.observed.detached.remove(uid)),
        }
    }

    fn failed(&mut self, now: &Now, step: &Step, error: StepError) {
        if let Step::StartInstance { uid, .. } = step {
            self.change(*uid, |instance| {
                if instance.life == Life::Launching {
                    let before = instance.fault.as_ref().map_or(0, |fault| fault.failures);
                    instance.life = Life::Created;
                    instance.fault = Some(fault(error, before, now));
                }
            });
        } else if self.is_given_up(step, &error) {
            self.observed.faults.remove(step);
            self.succeeded(now, step, 0);
        } else if !self.is_void(step) {
            let before = self.observed.faults.get(step).map_or(0, |fault| fault.failures);
            self.observed.faults.insert(step.clone(), fault(error, before, now));
        }
    }

    /// A running instance's network can't be mended, nor its hooks run, once it doesn't run: that failed for no reason of
    /// its own.
    fn is_void(&self, step: &Step) -> bool {
        let (Step::AttachInstance(uid) | Step::RunHook { uid, .. } | Step::RenewContents { uid, .. }) = step
        else {
            return false;
        };
        self.observed.instances.get(uid).is_none_or(|instance| !matches!(instance.life, Life::Running { .. }))
    }

    fn told(&mut self, now: &Now, uid: InstanceUid, killed: bool) {
        self.change(uid, |instance| {
            if matches!(instance.life, Life::Running { .. }) {
                let since = instance.stopping.take().map_or_else(|| now.moment.clone(), |told| told.since);
                instance.stopping = Some(Stopping { since, killed });
            }
        });
    }

    pub(super) fn change(&mut self, uid: InstanceUid, change: impl FnOnce(&mut Instance)) {
        if let Some(instance) = self.observed.instances.get_mut(&uid) {
            change(instance);
            self.touched.insert(uid);
        }
    }

    pub(super) fn checked(&self, uid: InstanceUid) -> bool {
        let spec = self.spec.instances.get(&uid);
        let template = spec.and_then(|spec| self.spec.templates.get(&spec.template));
        template.is_some_and(|template| crate::health_check(template).is_some())
    }
}
