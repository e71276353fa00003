//! The OCI form of limits (runtime specification, `linux.resources`) in ours.
//!
//! Its numbers carry more than one meaning: a negative bound is "none", and 0 means "not said" wherever
//! runc and crun read it so.

use std::fmt;

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxPids, LinuxResources,
    LinuxThrottleDevice, LinuxWeightDevice,
};

use super::limits::{
    Ceiling, CpuLimits, DeviceNumber, DeviceRate, DeviceWeight, HugepageLimit, IoLimits, Limits, MemoryLimits,
};
use super::{Access, CgroupError, DeviceKind, DeviceRule, Unenforced};

impl Limits {
    /// Reads an OCI resources object; the second value lists the preferences that we have no use for.
    pub fn from_oci(oci: &LinuxResources) -> Result<(Limits, Vec<Unenforced>), CgroupError> {
        let rules = oci.devices().iter().flatten().map(device_rule);
        let limits = Limits {
            cpu: oci.cpu().as_ref().map(cpu).unwrap_or_default(),
            memory: oci.memory().as_ref().map(memory).unwrap_or_default(),
            pids: oci.pids().as_ref().map(LinuxPids::limit).and_then(bound),
            io: oci.block_io().as_ref().map(io).transpose()?.unwrap_or_default(),
            hugepages: hugepages(oci)?,
            devices: rules.collect::<Result<_, _>>()?,
            unified: oci.unified().clone().unwrap_or_default().into_iter().collect(),
        };
        Ok((limits, unused(oci)?))
    }
}

impl DeviceRule {
    /// The rule as the specification writes it.
    pub(crate) fn to_oci(self) -> LinuxDeviceCgroup {
        let typ = match self.kind {
            DeviceKind::All => LinuxDeviceType::A,
            DeviceKind::Block => LinuxDeviceType::B,
            DeviceKind::Char => LinuxDeviceType::C,
        };
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(self.allow)
            .set_typ(Some(typ))
            .set_major(self.major.map(i64::from))
            .set_minor(self.minor.map(i64::from))
            .set_access(Some(self.access.to_string()));
        rule
    }
}

fn cpu(oci: &LinuxCpu) -> CpuLimits {
    let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    CpuLimits {
        quota_usec: oci.quota().and_then(bound),
        period_usec: said(oci.period()),
        burst_usec: oci.burst(),
        shares: said(oci.shares()),
        idle: oci.idle().map(|idle| idle != 0),
        cpus: text(oci.cpus()),
        mems: text(oci.mems()),
        realtime_runtime_usec: oci.realtime_runtime(),
        realtime_period_usec: said(oci.realtime_period()),
    }
}

fn memory(oci: &LinuxMemory) -> MemoryLimits {
    MemoryLimits {
        limit: oci.limit().and_then(bound),
        reservation: oci.reservation().and_then(bound),
        swap: oci.swap().and_then(bound),
        swappiness: oci.swappiness(),
        oom_kill_disable: oci.disable_oom_killer(),
        kernel_tcp: oci.kernel_tcp().and_then(bound),
        check_before_update: oci.check_before_update().unwrap_or(false),
    }
}

fn io(oci: &LinuxBlockIo) -> Result<IoLimits, CgroupError> {
    let weights = oci.weight_device().iter().flatten().filter_map(device_weight);
    Ok(IoLimits {
        weight: oci.weight().filter(|weight| *weight != 0),
        device_weights: weights.collect::<Result<_, _>>()?,
        read_bps: rates(oci.throttle_read_bps_device())?,
        write_bps: rates(oci.throttle_write_bps_device())?,
        read_iops: rates(oci.throttle_read_iops_device())?,
        write_iops: rates(oci.throttle_write_iops_device())?,
    })
}

fn device_weight(oci: &LinuxWeightDevice) -> Option<Result<DeviceWeight, CgroupError>> {
    let weight = oci.weight()?;
    Some(block_device(oci.major(), oci.minor()).map(|device| DeviceWeight { device, weight }))
}

fn rates(oci: &Option<Vec<LinuxThrottleDevice>>) -> Result<Vec<DeviceRate>, CgroupError> {
    let rate = |rate: &LinuxThrottleDevice| {
        let device = block_device(rate.major(), rate.minor())?;
        Ok(DeviceRate { device, per_second: rate.rate() })
    };
    oci.iter().flatten().map(rate).collect()
}

fn block_device(major: i64, minor: i64) -> Result<DeviceNumber, CgroupError> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok(DeviceNumber { major, minor }),
        _ => Err(invalid("blockIO", &format!("{major}:{minor}"), "device numbers are from 0 to 2^32 - 1")),
    }
}

fn hugepages(oci: &LinuxResources) -> Result<Vec<HugepageLimit>, CgroupError> {
    let one = |limit: &oci_spec::runtime::LinuxHugepageLimit| {
        let bytes = u64::try_from(limit.limit())
            .map_err(|_| invalid("hugepageLimits", &limit.limit(), "a number of bytes is wanted"))?;
        Ok(HugepageLimit { page_size: limit.page_size().clone(), limit: bytes })
    };
    oci.hugepage_limits().iter().flatten().map(one).collect()
}

fn device_rule(oci: &LinuxDeviceCgroup) -> Result<DeviceRule, CgroupError> {
    let kind = match oci.typ().unwrap_or_default() {
        LinuxDeviceType::A => DeviceKind::All,
        LinuxDeviceType::B => DeviceKind::Block,
        LinuxDeviceType::C | LinuxDeviceType::U => DeviceKind::Char,
        LinuxDeviceType::P => return Err(invalid("devices", &"p", "access to FIFOs isn't limited by rules")),
    };
    let letters = oci.access().as_deref().unwrap_or("rwm");
    let access =
        Access::parse(letters).ok_or_else(|| invalid("devices", &letters, "access is made of r, w and m"))?;
    let number = |number: Option<i64>| match number {
        None => Ok(None),
        Some(wildcard) if wildcard < 0 => Ok(None),
        Some(number) => u32::try_from(number)
            .map(Some)
            .map_err(|_| invalid("devices", &number, "device numbers are from 0 to 2^32 - 1")),
    };
    Ok(DeviceRule {
        allow: oci.allow(),
        kind,
        major: number(oci.major())?,
        minor: number(oci.minor())?,
        access,
    })
}

/// What is in the specification but does nothing here; a bound among it is an error.
fn unused(oci: &LinuxResources) -> Result<Vec<Unenforced>, CgroupError> {
    let unenforced = |key, value: String, why: &str| Unenforced { key, value, why: why.to_owned() };
    let mut unused = Vec::new();
    if let Some(kernel) = oci.memory().as_ref().and_then(LinuxMemory::kernel) {
        unused.push(unenforced("memory.kernel", kernel.to_string(), "kernels since 5.16 have no such limit"));
    }
    if let Some(weight) = oci.block_io().as_ref().and_then(LinuxBlockIo::leaf_weight) {
        unused.push(unenforced(
            "blockIO.leafWeight",
            weight.to_string(),
            "kernels since 5.0 have no leaf weights",
        ));
    }
    if let Some(class) = oci.network().as_ref().and_then(oci_spec::runtime::LinuxNetwork::class_id) {
        unused.push(unenforced("network.classID", class.to_string(), "packets are not tagged by group"));
    }
    if oci.network().as_ref().and_then(|network| network.priorities().as_ref()).is_some_and(|p| !p.is_empty())
    {
        unused.push(unenforced("network.priorities", "…".to_owned(), "packets are not tagged by group"));
    }
    if oci.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty()) {
        let rdma = unenforced("rdma", "…".to_owned(), "RDMA limits are not supported yet");
        return Err(CgroupError::Unenforceable(rdma));
    }
    Ok(unused)
}

fn bound(value: i64) -> Option<Ceiling> {
    match u64::try_from(value) {
        Ok(0) => None,
        Ok(value) => Some(Ceiling::At(value)),
        Err(_) => Some(Ceiling::Max),
    }
}

fn said(value: Option<u64>) -> Option<u64> {
    value.filter(|value| *value != 0)
}

fn invalid(key: &'static str, value: &dyn fmt::Display, rule: &str) -> CgroupError {
    CgroupError::Invalid { key, value: value.to_string(), rule: rule.to_owned() }
}
