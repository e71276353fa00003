//! What survives everything: ledger, journal and store.

use std::collections::BTreeMap;

use hoist_model::{BootId, Endpoints, Generation, Guards, HostId, HostSpec, InstanceUid, Moment};
use hoist_planner::cluster::{self, Pool, Record, StoreChange};
use hoist_planner::host::{Instance, JournalEntry, Restored, StartedBy};

/// The host's disk, with the orchestrator's store.
#[derive(Debug, Default)]
pub(super) struct Disk {
    daemon: Option<(u64, BootId)>,
    instances: BTreeMap<InstanceUid, Instance>,
    /// Of the release that is installed.
    pub(super) guards: Guards,
    spec: Option<HostSpec>,
    endpoints: Option<Endpoints>,
    pub(super) store: Store,
}

/// The orchestrator's store: what a person may back up.
#[derive(Debug, Clone, Default)]
pub struct Store {
    stacks: BTreeMap<hoist_model::StackId, hoist_model::WantedStack>,
    specs: BTreeMap<HostId, HostSpec>,
    endpoints: BTreeMap<HostId, Endpoints>,
    record: Record,
    leadership: Generation,
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

    pub(super) fn agent(&self, host: &HostId, now: &Moment, started_by: StartedBy) -> Restored {
        Restored {
            host: host.clone(),
            boot: now.boot.clone(),
            started_by,
            daemon: self.daemon.clone(),
            spec: self.spec.clone(),
            endpoints: self.endpoints.clone(),
            instances: self.instances.clone(),
            guards: self.guards,
        }
    }
}

impl Store {
    pub(super) fn write(&mut self, change: StoreChange) {
        for (id, stack) in change.stacks {
            match stack {
                Some(stack) => drop(self.stacks.insert(id, *stack)),
                None => drop(self.stacks.remove(&id)),
            }
        }
        self.specs.extend(change.specs);
        self.endpoints.extend(change.endpoints);
        self.record = change.record.unwrap_or_else(|| self.record.clone());
        self.leadership = change.leadership.unwrap_or(self.leadership);
    }

    /// What the orchestrator reads when it starts. Each start is a new term.
    pub(super) fn open(&mut self) -> cluster::Restored {
        self.leadership.term += 1;
        cluster::Restored {
            stacks: self.stacks.clone(),
            specs: self.specs.clone(),
            endpoints: self.endpoints.clone(),
            record: self.record.clone(),
            pool: Pool::default(),
            leadership: self.leadership,
        }
    }
}
