//! Where nothing may be mounted: the root, and the kernel's own files. The runtime refuses the same once more, also
//! where a link of the image leads there.

use super::attributes::Attributes;
use crate::source::Span;

/// Files of `/proc` that another program than the kernel may stand in for, as runc allows them.
const IN_PROC: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// Whether something may be mounted at a clean absolute path; if not, the error is reported.
pub(super) fn check(at: &mut Attributes<'_, '_>, place: Span, target: &str, is_bind: bool) -> bool {
    let problem = match target {
        "/" => "a mount can't take the place of the root file system".to_owned(),
        // The host's own, whole: `/proc:/proc`. The runtime sees to it that it is.
        "/proc" | "/sys" if is_bind => return true,
        "/proc" | "/sys" => format!("only the host's own `{target}` can be mounted at `{target}`"),
        _ if target.starts_with("/proc/") && !IN_PROC.contains(&target) => {
            format!("nothing can be mounted at `{target}`: `/proc` is the kernel's")
        }
        _ => return true,
    };
    at.error("invalid-volume", place, problem);
    false
}
