//! The agent's process: its loop and what dies with it.

use std::collections::BTreeMap;

use hoist_model::{Condition, HostSpec, InstanceUid, Moment};
use hoist_planner::host::{HostLoop, Life, Prober, Probing};

/// A running agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) host: HostLoop,
    pub(super) probers: BTreeMap<InstanceUid, (u32, Prober)>,
    /// The last `WakeAt`.
    pub(super) wake: Option<Moment>,
    pub(super) keeper: bool,
}

impl Agent {
    pub(super) fn new(host: HostLoop) -> Self {
        Self { host, probers: BTreeMap::new(), wake: None, keeper: true }
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

    /// Whether every required gate of an instance holds, by what the agent knows. Written apart from the planner's
    /// own rule, to check it.
    pub(super) fn closed_gate(&self, uid: InstanceUid) -> Option<String> {
        let spec: &HostSpec = self.host.spec();
        let wanted = spec.instances.get(&uid)?;
        for gate in wanted.gates.iter().filter(|gate| gate.required) {
            let members = spec.instances.iter().filter(|(_, other)| {
                other.slot.stack == wanted.slot.stack && other.slot.service == gate.service
            });
            for (member, _) in members {
                let holds =
                    self.host.observed().instances.get(member).is_some_and(|seen| match gate.condition {
                        Condition::ServiceStarted => seen.starts > 0,
                        Condition::ServiceHealthy => seen.ready(),
                        Condition::ServiceCompletedSuccessfully => {
                            matches!(seen.life, Life::Ended { exit, .. } if exit.success())
                        }
                    });
                if !holds {
                    return Some(format!(
                        "{} started before {} was {}",
                        wanted.slot, gate.service, gate.condition
                    ));
                }
            }
        }
        None
    }
}
