//! One look at a host: what may be done now, what waits and for what, and when to look again.

use std::collections::BTreeMap;

use hoist_model::{Endpoints, Failure, Healthcheck, HostSpec, InstanceUid, Moment, Phase, Waiting};

use super::{FabricWanted, Observed, Planned, Zone};

/// Everything a host's plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct HostInput<'a> {
    /// What should be.
    pub spec: &'a HostSpec,
    /// Where services are.
    pub endpoints: &'a Endpoints,
    /// What is.
    pub observed: &'a Observed,
    /// Now.
    pub now: &'a Moment,
}

/// What to do next on one host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostPlan {
    /// Steps that may begin now, side by side.
    pub steps: Vec<Planned>,
    /// Instances that can't go on yet, and why.
    pub waiting: BTreeMap<InstanceUid, Waiting>,
    /// Where each instance stands, wanted or existing.
    pub phases: BTreeMap<InstanceUid, Phase>,
    /// What can't be done.
    pub failures: Vec<Failure>,
    /// The network as it should be now.
    pub fabric: FabricWanted,
    /// The names.
    pub zone: Zone,
    /// Runs to probe.
    pub probing: BTreeMap<InstanceUid, Probing>,
    /// Nothing to do, nothing under way, nothing waited for.
    pub settled: bool,
    /// Look again then, if nothing happens before.
    pub wake_at: Option<Moment>,
}

/// A run to probe: give these to [`super::Prober::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probing {
    /// Which start it is; results name it.
    pub attempt: u32,
    /// When the run began.
    pub since: Moment,
    /// How to probe.
    pub check: Healthcheck,
}

/// Plans the next steps of a host. Pure: equal inputs give equal plans.
#[must_use]
pub fn plan(_input: &HostInput<'_>) -> HostPlan {
    HostPlan::default()
}
