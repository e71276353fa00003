//! What survives everything: ledger, journal and store.

use std::collections::BTreeMap;

use hoist_model::{BootId, Endpoints, HostId, HostSpec, InstanceUid, Moment};
use hoist_planner::cluster::{self, Pool, Record, StoreChange};
use hoist_planner::host::{Instance, JournalEntry, Restored, StartedBy};

/// The host's disk, with the orchestrator's store.
#[derive(Debug, Default)]
pub(super) struct Disk {
    daemon: Option<(u64, BootId)>,
    instances: BTreeMap<InstanceUid, Instance>,
    spec: Option<HostSpec>,
    endpoints: Option<Endpoints>,
    stacks: BTreeMap<hoist_model::StackId, hoist_model::WantedStack>,
    specs: BTreeMap<HostId, HostSpec>,
    planned_endpoints: BTreeMap<HostId, Endpoints>,
    record: Record,
}

impl Disk {
    pub(super) fn journal(&mut self, entry: JournalEntry) {
        match entry {
            JournalEntry::Daemon { epoch, boot } => self.daemon = Some((epoch, boot)),
            JournalEntry::Instance(uid, instance) => drop(self.instances.insert(uid, *instance)),
            JournalEntry::Gone(uid) => drop(self.instances.remove(&uid)),
        }
    }

    pub(super) fn spec(&mut self, spec: HostSpec) {
        self.spec = Some(spec);
    }

    pub(super) fn endpoints(&mut self, endpoints: Endpoints) {
        self.endpoints = Some(endpoints);
    }

    pub(super) fn store(&mut self, change: StoreChange) {
        for (id, stack) in change.stacks {
            match stack {
                Some(stack) => drop(self.stacks.insert(id, *stack)),
                None => drop(self.stacks.remove(&id)),
            }
        }
        self.specs.extend(change.specs);
        self.planned_endpoints.extend(change.endpoints);
        self.record = change.record.unwrap_or_else(|| self.record.clone());
    }

    pub(super) fn agent(&self, host: &HostId, now: &Moment, started_by: StartedBy) -> Restored {
        Restored {
            host: host.clone(),
            boot: now.boot.clone(),
            started_by,
            daemon: self.daemon.clone(),
            spec: self.spec.clone(),
            endpoints: self.endpoints.clone(),
            instances: self.instances.clone(),
        }
    }

    pub(super) fn orchestrator(&self) -> cluster::Restored {
        cluster::Restored {
            stacks: self.stacks.clone(),
            specs: self.specs.clone(),
            endpoints: self.planned_endpoints.clone(),
            record: self.record.clone(),
            pool: Pool::default(),
            leadership: hoist_model::Generation::default(),
        }
    }
}
