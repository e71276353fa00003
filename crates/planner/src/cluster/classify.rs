//! What should exist: each service at its revision, and per slot the instance that stays or a new one.

use std::collections::BTreeMap;

use hoist_model::{
    Failure, Gate, HostSpec, InstanceKind, InstanceSpec, InstanceUid, Intent, RunIntent, Service,
    ServiceName, Slot, StackId, StackRevision, Subject, WantedRun, WantedStack,
};

use super::Record;
use super::template::{Defined, define};

/// A service that should exist.
#[derive(Debug)]
pub(super) struct Desired<'a> {
    pub(super) stack: &'a StackId,
    pub(super) name: &'a ServiceName,
    pub(super) intent: &'a Intent,
    pub(super) revision: &'a StackRevision,
    pub(super) defined: Defined,
}

impl Desired<'_> {
    pub(super) fn service(&self) -> &Service {
        &self.defined.template.service
    }

    pub(super) fn replicas(&self) -> u32 {
        self.intent.replicas.unwrap_or(self.service().replicas)
    }

    pub(super) fn running(&self) -> bool {
        self.intent.run == RunIntent::Running
    }

    fn slot(&self, index: u32) -> Slot {
        Slot { stack: self.stack.clone(), service: self.name.clone(), index }
    }

    /// The instance of a slot as it should be; its addresses are given later.
    fn instance(&self, slot: Slot) -> InstanceSpec {
        let run = match self.intent.run {
            RunIntent::Stopped { epoch } => WantedRun::Stopped { epoch },
            RunIntent::Running | RunIntent::Absent => WantedRun::Running,
        };
        let gates = self.service().depends_on.iter().map(|(service, dependency)| Gate {
            service: service.clone(),
            condition: dependency.condition,
            required: dependency.required,
        });
        InstanceSpec {
            slot,
            kind: InstanceKind::Replica,
            revision: self.intent.revision,
            template: self.defined.hash,
            run,
            restart: self.service().restart,
            restart_nonce: self.intent.restart_nonce,
            start_nonce: self.intent.start_nonce,
            renew_volumes: self.intent.renew_volumes,
            gates: gates.collect(),
            addresses: BTreeMap::new(),
        }
    }
}

/// The services of a stack that should exist, in the order of their names.
///
/// # Errors
/// Services whose image isn't settled, or whose revision is gone.
pub(super) fn desired<'a>(
    id: &'a StackId,
    wanted: &'a WantedStack,
) -> Result<Vec<Desired<'a>>, Vec<Failure>> {
    let mut services = Vec::new();
    let mut failures = Vec::new();
    for (name, intent) in wanted.intents.iter().filter(|(_, intent)| intent.run != RunIntent::Absent) {
        let revision = wanted.revisions.get(&intent.revision);
        match revision.and_then(|revision| Some((&**revision, define(wanted, revision, name)?))) {
            Some((revision, defined)) => {
                services.push(Desired { stack: id, name, intent, revision, defined });
            }
            None => failures.push(unsettled(id, name)),
        }
    }
    if failures.is_empty() { Ok(services) } else { Err(failures) }
}

fn unsettled(id: &StackId, name: &ServiceName) -> Failure {
    Failure {
        subject: Subject::Service(id.clone(), name.clone()),
        what: format!("the image of service {name} is not settled"),
        hint: Some("run `hoist up` again".to_owned()),
        permanent: true,
    }
}

/// One slot of a service.
#[derive(Debug)]
pub(super) struct PlannedSlot {
    /// The instance that fills it already and may stay, if its addresses still fit.
    pub(super) kept: Option<InstanceUid>,
    pub(super) spec: InstanceSpec,
    /// It keeps an instance of the former definition: its turn comes later.
    pub(super) former: bool,
}

/// The slots of a service. An instance stays while its definition is the same and nobody asked for a new one.
///
/// The host keeps old and new of one slot apart by their claims. How many change in one round is [`super::rollout`].
pub(super) fn slots(desired: &Desired<'_>, previous: &HostSpec, record: &Record) -> Vec<PlannedSlot> {
    let mut filled: BTreeMap<&Slot, InstanceUid> = BTreeMap::new();
    for (uid, spec) in &previous.instances {
        let same = spec.template == desired.defined.hash && spec.kind == InstanceKind::Replica;
        if same && !record.retired.contains(uid) {
            filled.entry(&spec.slot).or_insert(*uid);
        }
    }
    let place = |index| {
        let slot = desired.slot(index);
        PlannedSlot { kept: filled.get(&slot).copied(), spec: desired.instance(slot), former: false }
    };
    (1..=desired.replicas()).map(place).collect()
}
