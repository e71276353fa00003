//! One consistent look at a host, asked by every rule of the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hoist_model::{
    Endpoints, HostSpec, InstanceKind, InstanceSpec, InstanceUid, Moment, Parting, ServiceName, Slot,
    StackId, Template,
};

use super::parting::{self, Fate};
use super::restart::{self, Due, StartCause};
use super::shared;
use super::{HostInput, Instance, Life, Observed, Step};

/// The inputs of a plan, with the steps that this plan has already chosen: those count as under way.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) spec: &'a HostSpec,
    pub(super) endpoints: &'a Endpoints,
    pub(super) observed: &'a Observed,
    pub(super) now: &'a Moment,
    begun: BTreeSet<Step>,
    /// Instances by what is under way on them.
    busy: BTreeSet<InstanceUid>,
    starting: BTreeSet<InstanceUid>,
    ending: BTreeSet<InstanceUid>,
    /// Instances that this plan has taken out of traffic.
    withdrawn: BTreeSet<InstanceUid>,
    /// The replicas and jobs of each service.
    members: BTreeMap<&'a StackId, BTreeMap<&'a ServiceName, Vec<InstanceUid>>>,
    /// What lives and left the spec, by slot.
    pub(super) outgoing: BTreeMap<&'a Slot, Vec<InstanceUid>>,
    fates: BTreeMap<InstanceUid, Fate>,
}

impl<'a> View<'a> {
    pub(super) fn new(input: &HostInput<'a>) -> Self {
        let HostInput { spec, endpoints, observed, now } = *input;
        let mut view = Self {
            spec,
            endpoints,
            observed,
            now,
            begun: BTreeSet::new(),
            busy: BTreeSet::new(),
            starting: BTreeSet::new(),
            ending: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
            members: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            fates: BTreeMap::new(),
        };
        observed.in_flight.iter().for_each(|step| view.mark(step));
        for (uid, instance) in &spec.instances {
            if matches!(instance.kind, InstanceKind::Replica | InstanceKind::Job) {
                let stack = view.members.entry(&instance.slot.stack).or_default();
                stack.entry(&instance.slot.service).or_default().push(*uid);
            }
        }
        for (uid, instance) in &observed.instances {
            if !spec.instances.contains_key(uid) && view.alive(*uid) {
                view.outgoing.entry(&instance.birth.slot).or_default().push(*uid);
            }
        }
        view.fates = parting::fates(&view);
        view
    }

    /// Counts a step as under way from now on.
    pub(super) fn begin(&mut self, step: Step) {
        self.mark(&step);
        self.begun.insert(step);
    }

    fn mark(&mut self, step: &Step) {
        self.busy.extend(step.instance());
        match step {
            Step::StartInstance { uid, .. } => drop(self.starting.insert(*uid)),
            Step::SignalInstance { uid, .. } | Step::KillInstance(uid) => drop(self.ending.insert(*uid)),
            _ => {}
        }
    }

    pub(super) fn under_way(&self, step: &Step) -> bool {
        self.observed.in_flight.contains(step) || self.begun.contains(step)
    }

    /// Whether some step on this instance is under way.
    pub(super) fn busy(&self, uid: InstanceUid) -> bool {
        self.busy.contains(&uid)
    }

    pub(super) fn starting(&self, uid: InstanceUid) -> bool {
        self.starting.contains(&uid)
    }

    /// Counts an instance as out of traffic from now on.
    pub(super) fn withdraw(&mut self, uid: InstanceUid) {
        self.withdrawn.insert(uid);
    }

    /// It gets no new traffic: it has been told to end, or is about to be.
    pub(super) fn withdrawn(&self, uid: InstanceUid) -> bool {
        self.withdrawn.contains(&uid) || self.stopping(uid)
    }

    /// It has been told to end, or is being told now.
    pub(super) fn stopping(&self, uid: InstanceUid) -> bool {
        self.ending.contains(&uid) || self.instance(uid).is_some_and(|instance| instance.stopping.is_some())
    }

    pub(super) fn template(&self, spec: &InstanceSpec) -> Option<&'a Arc<Template>> {
        self.spec.templates.get(&spec.template)
    }

    pub(super) fn instance(&self, uid: InstanceUid) -> Option<&'a Instance> {
        self.observed.instances.get(&uid)
    }

    /// Its process exists, may exist, or is about to; or processes of a run before do.
    pub(super) fn alive(&self, uid: InstanceUid) -> bool {
        let unkept = self.observed.unkept.contains(&uid);
        unkept || self.instance(uid).is_some_and(Instance::alive) || self.starting(uid)
    }

    /// Running, fit for traffic, and not about to end.
    pub(super) fn ready(&self, uid: InstanceUid) -> bool {
        self.instance(uid).is_some_and(Instance::ready) && !self.withdrawn(uid)
    }

    /// Whether it should run: in the spec, and neither stopped nor asked to restart.
    pub(super) fn wanted(&self, uid: InstanceUid) -> bool {
        self.spec
            .instances
            .get(&uid)
            .is_some_and(|spec| restart::wanted(spec, self.instance(uid), self.observed.epoch))
    }

    /// Why a living instance should end; none when it should go on.
    pub(super) fn leaving(&self, uid: InstanceUid) -> Option<&'static str> {
        let instance = self.instance(uid).filter(|_| self.alive(uid))?;
        match self.spec.instances.get(&uid) {
            None => match self.fates.get(&uid)? {
                Fate::Stays(_) => None,
                Fate::Ends(cause) => Some(cause),
            },
            Some(_) if !self.wanted(uid) => Some("a person asked for it to stop"),
            Some(spec) if spec.restart_nonce > instance.restart_nonce => Some("a person asked for a restart"),
            Some(spec) if shared::is_left_behind(self, spec, instance) => {
                Some("the network that it shares is another now")
            }
            Some(_) if instance.unfit => Some("its probe says that it is to start anew"),
            Some(_) => None,
        }
    }

    /// What instances do that left the spec and are not to end yet.
    pub(super) fn partings(&self) -> Vec<(InstanceUid, Parting)> {
        let staying = self.fates.iter().filter_map(|(uid, fate)| match fate {
            Fate::Stays(parting) => Some((*uid, *parting)),
            Fate::Ends(_) => None,
        });
        staying.collect()
    }

    /// It has the traffic of its slot until its successor is ready.
    pub(super) fn serves(&self, uid: InstanceUid) -> bool {
        self.fates.get(&uid) == Some(&Fate::Stays(Parting::Serves))
    }

    /// What should become of an instance that exists and doesn't run.
    pub(super) fn due(&self, uid: InstanceUid) -> Due {
        match (self.spec.instances.get(&uid), self.instance(uid)) {
            (Some(spec), Some(instance)) if self.wanted(uid) => {
                let pacing = self.template(spec).map(|template| template.service.restart_pacing);
                match restart::due(spec, pacing.unwrap_or_default(), instance, self.observed.epoch, self.now)
                {
                    Due::Stay if shared::follows(self, spec, instance) => Due::Now(StartCause::Network),
                    due => due,
                }
            }
            _ => Due::Stay,
        }
    }

    /// The replicas and jobs of a service in the spec: what gates look at.
    pub(super) fn members(&self, stack: &StackId, service: &ServiceName) -> &[InstanceUid] {
        let of_stack = self.members.get(stack);
        of_stack.and_then(|services| services.get(service)).map_or(&[], Vec::as_slice)
    }

    /// The name that people know an instance by.
    pub(super) fn name(&self, slot: &Slot, spec: Option<&InstanceSpec>) -> String {
        let given = spec.and_then(|spec| self.template(spec)).and_then(|t| t.service.container_name.clone());
        given.unwrap_or_else(|| slot.container_name())
    }

    /// The name that people know an existing instance by: that of its slot, as its successor has it when it left the spec.
    pub(super) fn known_as(&self, uid: InstanceUid, instance: &Instance) -> String {
        let slot = &instance.birth.slot;
        let heir = || self.spec.instances.values().find(|spec| spec.slot == *slot);
        self.name(slot, self.spec.instances.get(&uid).or_else(heir))
    }

    /// Whether the names of its slot lead to an instance: not while another of the slot has the traffic.
    pub(super) fn names(&self, uid: InstanceUid) -> bool {
        let Some(instance) = self.instance(uid) else { return true };
        if instance.birth.kind != InstanceKind::Replica {
            return true;
        }
        let outgoing = self.outgoing.get(&instance.birth.slot).map_or(&[][..], Vec::as_slice);
        let serving = outgoing.iter().find(|other| self.serves(**other));
        match (serving, self.spec.instances.contains_key(&uid)) {
            (Some(serving), _) => *serving == uid,
            (None, true) => true,
            (None, false) => !self.has_heir(&instance.birth.slot) && outgoing.first() == Some(&uid),
        }
    }

    /// Whether an instance of the spec runs, or starts, in this slot.
    fn has_heir(&self, slot: &Slot) -> bool {
        self.members(&slot.stack, &slot.service).iter().any(|uid| {
            let runs = self.instance(*uid).is_some_and(|seen| matches!(seen.life, Life::Running { .. }));
            self.spec.instances.get(uid).is_some_and(|spec| spec.slot == *slot)
                && (runs || self.starting(*uid))
        })
    }

    /// Whether it exists as a whole: laid out, and not being made or removed.
    pub(super) fn laid_out(&self, uid: InstanceUid) -> bool {
        self.instance(uid).is_some_and(|instance| instance.life != Life::Making)
    }
}
