//! The next spec of each host, from what is wanted and what is.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{
    Endpoints, Failure, Generation, HostId, HostReport, HostSpec, InstanceUid, Moment, StackId, WantedStack,
};
use serde::{Deserialize, Serialize};

use super::Pool;

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
    /// Look again then, if nothing happens before.
    pub wake_at: Option<Moment>,
}

/// Plans the next spec of each host. Pure: equal inputs and equal ids give equal plans.
#[must_use]
pub fn plan(_input: &PlanInput<'_>, _ids: &mut dyn IdSource) -> ClusterPlan {
    ClusterPlan::default()
}
