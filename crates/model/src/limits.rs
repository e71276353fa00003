//! What an instance may use of its host.

use serde::{Deserialize, Serialize};

/// Limits and reservations of one instance. `None`: unlimited, or the kernel's default.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// `cpus`, in thousandths of one processor.
    pub cpu_millis: Option<u64>,
    /// `cpu_shares`: relative weight, 2 to 262144, default 1024.
    pub cpu_shares: Option<u64>,
    /// `cpu_quota`, microseconds in each period.
    pub cpu_quota: Option<i64>,
    /// `cpu_period`, microseconds.
    pub cpu_period: Option<u64>,
    /// `cpuset`: processors, as the kernel lists them.
    pub cpuset: Option<String>,
    /// `mem_limit`, bytes.
    pub memory: Option<u64>,
    /// `mem_reservation`, bytes.
    pub memory_reservation: Option<u64>,
    /// `memswap_limit`: memory plus swap, bytes; -1 is unlimited.
    pub memory_swap: Option<i64>,
    /// `mem_swappiness`, 0 to 100 (cgroup v1 only).
    pub swappiness: Option<u64>,
    /// `oom_kill_disable` (cgroup v1 only).
    pub oom_kill_disable: bool,
    /// `oom_score_adj`, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// `pids_limit`; -1 is unlimited.
    pub pids: Option<i64>,
    /// `shm_size`, bytes of /dev/shm.
    pub shm_size: Option<u64>,
    /// `ulimits`.
    pub ulimits: Vec<Ulimit>,
    /// `deploy.resources.reservations.cpus`, thousandths; for placement.
    pub reserved_cpu_millis: Option<u64>,
}

/// One of `ulimits`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ulimit {
    /// The kernel's name in lower case without `RLIMIT_`: `nofile`.
    pub name: String,
    /// Soft limit; -1 is unlimited.
    pub soft: i64,
    /// Hard limit; -1 is unlimited.
    pub hard: i64,
}
