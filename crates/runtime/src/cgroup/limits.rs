//! What a control group may use. Plain data, the same for both versions; `None` and empty mean "not said".

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::DeviceRule;

/// Everything that can be limited. Units are in the field names, or bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    pub cpu: CpuLimits,
    pub memory: MemoryLimits,
    /// How many processes and threads may exist at once.
    pub pids: Option<Ceiling>,
    pub io: IoLimits,
    pub hugepages: Vec<HugepageLimit>,
    /// Device access, in order; the last rule that matches decides, and what no rule matches is denied.
    /// Empty: no restriction at all.
    pub devices: Vec<DeviceRule>,
    /// Files of version 2 written as they are, after all others (OCI `linux.resources.unified`).
    pub unified: BTreeMap<String, String>,
}

/// An upper bound, or explicitly none, which is above all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ceiling {
    At(u64),
    Max,
}

impl Ceiling {
    /// Version 1 and OCI write "no bound" as -1.
    pub(super) fn v1(self) -> String {
        match self {
            Ceiling::At(value) => value.to_string(),
            Ceiling::Max => "-1".to_owned(),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuLimits {
    /// CPU time per period, over all CPUs.
    pub quota_usec: Option<Ceiling>,
    /// The kernel's default, and ours, is 100 ms.
    pub period_usec: Option<u64>,
    /// Unused quota that may be saved up (kernel 5.14).
    pub burst_usec: Option<u64>,
    /// Relative share under contention, 2 to 262144, 1024 by default (version 1's scale).
    pub shares: Option<u64>,
    /// Runs only when nothing else wants to.
    pub idle: Option<bool>,
    /// CPUs that may be used, as in `0-3,7`.
    pub cpus: Option<String>,
    /// Memory nodes that may be used.
    pub mems: Option<String>,
    /// Real-time budget per period, version 1 with CONFIG_RT_GROUP_SCHED only.
    pub realtime_runtime_usec: Option<i64>,
    pub realtime_period_usec: Option<u64>,
}

impl CpuLimits {
    /// The limit of `docker run --cpus`, in thousandths of a CPU.
    pub fn from_millis(millis: u64) -> CpuLimits {
        CpuLimits {
            quota_usec: Some(Ceiling::At(millis.saturating_mul(100))),
            period_usec: Some(100_000),
            ..CpuLimits::default()
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryLimits {
    pub limit: Option<Ceiling>,
    /// What is reclaimed last under pressure (version 1 soft limit, version 2 `memory.low`).
    pub reservation: Option<Ceiling>,
    /// Memory and swap together, as OCI and Docker count it; never below `limit`.
    pub swap: Option<Ceiling>,
    /// 0 to 100, version 1 only.
    pub swappiness: Option<u64>,
    /// Processes wait in place of being killed, version 1 only.
    pub oom_kill_disable: Option<bool>,
    /// TCP buffers, version 1 only.
    pub kernel_tcp: Option<Ceiling>,
    /// Refuse a limit below what is in use now (OCI `checkBeforeUpdate`).
    pub check_before_update: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IoLimits {
    /// Relative share under contention, 10 to 1000 (version 1's scale).
    pub weight: Option<u16>,
    pub device_weights: Vec<DeviceWeight>,
    /// Bytes per second.
    pub read_bps: Vec<DeviceRate>,
    pub write_bps: Vec<DeviceRate>,
    /// Requests per second.
    pub read_iops: Vec<DeviceRate>,
    pub write_iops: Vec<DeviceRate>,
}

/// A block device by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceNumber {
    pub major: u32,
    pub minor: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    pub device: DeviceNumber,
    pub per_second: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWeight {
    pub device: DeviceNumber,
    pub weight: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugepageLimit {
    /// As in the kernel's file names, such as `2MB`.
    pub page_size: String,
    pub limit: u64,
}

impl fmt::Display for Ceiling {
    /// As version 2 writes it: a number or `max`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ceiling::Max => f.write_str("max"),
            Ceiling::At(value) => value.fmt(f),
        }
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}
