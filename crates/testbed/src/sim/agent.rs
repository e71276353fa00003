//! The agent's process: its loop and what dies with it.

use std::collections::BTreeMap;

use hoist_model::{InstanceUid, Moment};
use hoist_planner::host::{HostLoop, Prober, Probing, Watching};

/// A running agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) host: HostLoop,
    pub(super) probers: BTreeMap<InstanceUid, (u32, Prober)>,
    /// What sockets are looked at for.
    pub(super) watched: BTreeMap<InstanceUid, Watching>,
    /// The last `WakeAt`.
    pub(super) wake: Option<Moment>,
    pub(super) keeper: bool,
}

impl Agent {
    pub(super) fn new(host: HostLoop) -> Self {
        Self { host, probers: BTreeMap::new(), watched: BTreeMap::new(), wake: None, keeper: true }
    }

    /// Takes over the runs to probe. Returns those that are new, with when their first probe is due.
    pub(super) fn probe(
        &mut self,
        wanted: &BTreeMap<InstanceUid, Probing>,
    ) -> Vec<(InstanceUid, u32, Moment)> {
        self.probers.retain(|uid, (attempt, _)| wanted.get(uid).is_some_and(|w| w.attempt == *attempt));
        let mut new = Vec::new();
        for (uid, probing) in wanted {
            if self.probers.contains_key(uid) {
                continue;
            }
            let known =
                self.host.observed().instances.get(uid).map(|instance| instance.health).unwrap_or_default();
            let prober = Prober::new(probing.check.clone(), probing.since.clone(), known);
            new.push((*uid, probing.attempt, prober.due().clone()));
            self.probers.insert(*uid, (probing.attempt, prober));
        }
        new
    }
}
