//! The next spec of each host, from what is wanted and what is.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{
    Endpoints, Failure, Generation, HostId, HostReport, HostSpec, InstanceUid, Moment, ServiceName, StackId,
    VolumeId, WantedStack,
};
use serde::{Deserialize, Serialize};

use super::{Pool, Rolling, host, removal};
use crate::time::sooner;

/// Where new ids come from: randomness in the shell, a counter in tests.
pub trait IdSource {
    /// A uid never used before.
    fn instance(&mut self) -> InstanceUid;
}

/// Everything a plan depends on, beside the ids.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// What people asked for.
    pub wanted: &'a BTreeMap<StackId, WantedStack>,
    /// The last report of each host.
    pub view: &'a BTreeMap<HostId, HostReport>,
    /// The specs planned last: uids and addresses are remembered here and nowhere else.
    pub previous: &'a BTreeMap<HostId, HostSpec>,
    /// The endpoints planned last: service addresses are remembered here.
    pub endpoints: &'a BTreeMap<HostId, Endpoints>,
    /// What else must not be forgotten.
    pub record: &'a Record,
    /// Address ranges.
    pub pool: &'a Pool,
    /// Incarnation and term of this orchestrator; `n` is not looked at.
    pub leadership: Generation,
    /// Now.
    pub now: &'a Moment,
}

/// What must not be forgotten between rounds and is in no spec.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Instances to replace although their definition is unchanged (`--force-recreate`).
    pub retired: BTreeSet<InstanceUid>,
    /// Volumes to remove because a person pruned what no stack names, until they are gone or named again.
    pub pruned: BTreeSet<VolumeId>,
    /// Since when new instances of a rollout with a delay are ready.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ready: BTreeMap<InstanceUid, Moment>,
}

/// The next increment. A spec or endpoints equal to the previous ones keep their generation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterPlan {
    /// The next spec of each host.
    pub specs: BTreeMap<HostId, HostSpec>,
    /// The next endpoints of each host.
    pub endpoints: BTreeMap<HostId, Endpoints>,
    /// The next record.
    pub record: Record,
    /// Stacks that can't go on yet, and why: no host has reported.
    pub waiting: BTreeMap<StackId, String>,
    /// What a person must change first: conflicts, missing external networks. The stack keeps what it had.
    pub failures: BTreeMap<StackId, Vec<Failure>>,
    /// Stacks that were to be removed and of which nothing is left.
    pub gone: BTreeSet<StackId>,
    /// Services that were to be removed and of which nothing is left.
    pub gone_services: BTreeSet<(StackId, ServiceName)>,
    /// Rollouts in which not every replica has had its turn.
    pub rolling: BTreeMap<(StackId, ServiceName), Rolling>,
    /// Look again then, if nothing happens before.
    pub wake_at: Option<Moment>,
}

/// Plans the next spec of each host. Pure: equal inputs and equal ids give equal plans.
#[must_use]
pub fn plan(input: &PlanInput<'_>, ids: &mut dyn IdSource) -> ClusterPlan {
    let mut plan = ClusterPlan {
        specs: input.previous.clone(),
        endpoints: input.endpoints.clone(),
        record: input.record.clone(),
        ..ClusterPlan::default()
    };
    if input.view.is_empty() {
        let why = || "waiting for a host to report".to_owned();
        plan.waiting = input.wanted.keys().map(|id| (id.clone(), why())).collect();
        return plan;
    }
    plan.record.ready.clear();
    for (id, report) in input.view {
        let next = host::next(input, id, report, ids);
        plan.failures.extend(next.failures);
        plan.record.ready.extend(next.rollouts.ready);
        plan.rolling.extend(next.rollouts.rolling);
        plan.wake_at = sooner(plan.wake_at.take(), next.rollouts.wake);
        plan.specs.insert(id.clone(), next.spec);
        plan.endpoints.insert(id.clone(), next.endpoints);
    }
    // Whoever was to be replaced is no longer in a spec: that is done.
    let there = |uid: &InstanceUid| plan.specs.values().any(|spec| spec.instances.contains_key(uid));
    plan.record.retired.retain(there);
    let unnamed = removal::unnamed_volumes(input.wanted, input.view);
    plan.record.pruned.retain(|id| unnamed.contains(id));
    (plan.gone, plan.gone_services) = removal::gone(input, &plan.specs);
    plan
}
