//! What the caller itself may do: it bounds what it can give.

use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities, capability_is_in_bounding_set};

/// What a plan needs to know of the caller.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) permitted: CapabilitySet,
    pub(crate) bounding: CapabilitySet,
    pub(crate) oom_score_adj: i32,
    pub(crate) apparmor: bool,
    /// Hard limits, as far as they are limits.
    pub(crate) hard_limits: Vec<(Resource, u64)>,
}

impl Host {
    /// Asks the kernel. What it does not tell is taken as "may not".
    pub(crate) fn probe() -> Self {
        let permitted = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted);
        let bounding = (0..64)
            .map(|number| CapabilitySet::from_bits_retain(1 << number))
            .take_while(|capability| capability_is_in_bounding_set(*capability).is_ok())
            .filter(|capability| capability_is_in_bounding_set(*capability) == Ok(true))
            .fold(CapabilitySet::empty(), |all, one| all | one);
        let oom_score_adj = std::fs::read_to_string("/proc/self/oom_score_adj")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or_default();
        let limits = super::limits::RESOURCES
            .iter()
            .filter_map(|(_, _, resource)| getrlimit(*resource).maximum.map(|hard| (*resource, hard)));
        let apparmor = std::fs::read("/sys/module/apparmor/parameters/enabled");
        let apparmor = apparmor.is_ok_and(|text| text.starts_with(b"Y"));
        Self { permitted, bounding, oom_score_adj, apparmor, hard_limits: limits.collect() }
    }

    /// Whether limits may be raised and the own oom_score_adj lowered.
    pub(crate) fn may_raise(&self) -> bool {
        self.permitted.contains(CapabilitySet::SYS_RESOURCE)
    }

    pub(crate) fn hard_limit(&self, resource: Resource) -> Option<u64> {
        self.hard_limits.iter().find(|(known, _)| *known == resource).map(|(_, hard)| *hard)
    }
}
