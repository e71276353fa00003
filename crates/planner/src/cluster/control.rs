//! The orchestrator's loop: inputs update what is wanted and known, then everything is planned anew.

use std::collections::BTreeMap;

use hoist_model::{HostId, HostReport, HostSpec, StackId, WantedStack};

use super::{Effect, IdSource, Input, Restored};
use crate::Now;

/// The state of the orchestrator.
#[derive(Debug)]
pub struct ClusterLoop {
    restored: Restored,
    view: BTreeMap<HostId, HostReport>,
}

impl ClusterLoop {
    /// Takes up what the store holds. The effects send every spec and all endpoints again.
    #[must_use]
    pub fn restore(restored: Restored) -> (Self, Vec<Effect>) {
        (Self { restored, view: BTreeMap::new() }, Vec::new())
    }

    /// Takes in one input and returns what to do, in order.
    pub fn step(&mut self, _now: &Now, _input: Input, _ids: &mut dyn IdSource) -> Vec<Effect> {
        Vec::new()
    }

    /// What is wanted.
    #[must_use]
    pub fn stacks(&self) -> &BTreeMap<StackId, WantedStack> {
        &self.restored.stacks
    }

    /// The specs planned last.
    #[must_use]
    pub fn specs(&self) -> &BTreeMap<HostId, HostSpec> {
        &self.restored.specs
    }

    /// The last report of each host.
    #[must_use]
    pub fn view(&self) -> &BTreeMap<HostId, HostReport> {
        &self.view
    }
}
