//! What of the calling process bounds what it can give, and what its children inherit.

use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities, capability_is_in_bounding_set};

use crate::cgroup::GroupMounts;

/// The process that launches, as a plan needs to know it: its privileges, the signals it ignores, and where control
/// groups are mounted for it.
///
/// Asked of the kernel once and used for many launches. A process that changes any of these about itself, or moves to
/// another mount namespace, asks anew.
#[derive(Clone, Debug)]
pub struct Launcher {
    pub(crate) permitted: CapabilitySet,
    pub(crate) bounding: CapabilitySet,
    pub(crate) oom_score_adj: i32,
    pub(crate) apparmor: bool,
    /// Hard limits, as far as they are limits.
    pub(crate) hard_limits: Vec<(Resource, u64)>,
    /// The signals that are ignored, number 1 in the lowest bit: they stay ignored in a child, and across execve.
    pub(crate) ignored_signals: u64,
    pub(crate) group_mounts: GroupMounts,
}

impl Launcher {
    /// Asks about the calling process. A privilege that the kernel does not tell of is taken as not there.
    #[must_use]
    pub fn of_this_process() -> Self {
        let permitted = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted);
        let oom_score_adj = std::fs::read_to_string("/proc/self/oom_score_adj")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or_default();
        let limits = super::limits::RESOURCES
            .iter()
            .filter_map(|(_, _, resource)| getrlimit(*resource).maximum.map(|hard| (*resource, hard)));
        let apparmor = std::fs::read("/sys/module/apparmor/parameters/enabled");
        let apparmor = apparmor.is_ok_and(|text| text.starts_with(b"Y"));
        Self {
            permitted,
            bounding: bounding(),
            oom_score_adj,
            apparmor,
            hard_limits: limits.collect(),
            ignored_signals: ignored_signals(
                &std::fs::read_to_string("/proc/self/status").unwrap_or_default(),
            ),
            group_mounts: GroupMounts::of_this_process(),
        }
    }

    /// Whether limits may be raised and the own oom_score_adj lowered.
    pub(crate) fn may_raise(&self) -> bool {
        self.permitted.contains(CapabilitySet::SYS_RESOURCE)
    }

    pub(crate) fn hard_limit(&self, resource: Resource) -> Option<u64> {
        self.hard_limits.iter().find(|(known, _)| *known == resource).map(|(_, hard)| *hard)
    }
}

/// The kernel's numbers of capabilities have no gaps: the first unknown one is the end.
fn bounding() -> CapabilitySet {
    (0..64)
        .map(|number| CapabilitySet::from_bits_retain(1 << number))
        .map_while(|capability| Some((capability, capability_is_in_bounding_set(capability).ok()?)))
        .filter_map(|(capability, is_there)| is_there.then_some(capability))
        .collect()
}

/// `SigIgn` of /proc/PID/status, proc_pid_status(5). Where it can't be read, any signal may be ignored.
fn ignored_signals(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_and_all_are_suspected_otherwise() {
        let status =
            "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000440\n";
        assert_eq!(ignored_signals(status), 1 << (libc::SIGPIPE - 1));
        assert_eq!(ignored_signals("Name:\tx\n"), u64::MAX);
    }
}
