//! The `linux` object: namespaces, limits, what is masked.

use std::collections::HashMap;

use hoist_model::{NetworkMode, Resources, Service};
use hoist_runtime::defaults::{self, PING_GROUPS, UNPRIVILEGED_PORTS};
use oci_spec::runtime::{
    Linux, LinuxCpu, LinuxDevice, LinuxDeviceCgroup, LinuxMemory, LinuxNamespace, LinuxNamespaceType,
    LinuxPids, LinuxResources,
};

use super::SpecInput;
use crate::instances::devices::Device;

pub(super) fn linux(input: &SpecInput<'_>) -> Linux {
    let service = &input.template.service;
    let mut linux = confined(input.own_network, service.privileged || service.open_system_paths);
    linux
        .set_resources(Some(resources(service, input.devices)))
        .set_sysctl(Some(sysctls(input)))
        .set_devices(Some(input.devices.iter().map(node).collect()));
    linux
}

/// Namespaces, and what of the kernel's own files can't be read or written; all can where they are `open`.
pub(crate) fn confined(own_network: bool, open: bool) -> Linux {
    let own = |namespace: &LinuxNamespace| own_network || namespace.typ() != LinuxNamespaceType::Network;
    let paths = |paths: &[&str]| Some(paths.iter().filter(|_| !open).map(ToString::to_string).collect());
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(defaults::namespaces().into_iter().filter(own).collect()))
        .set_masked_paths(paths(&defaults::MASKED_PATHS))
        .set_readonly_paths(paths(&defaults::READONLY_PATHS))
        .set_rootfs_propagation(Some("private".to_owned()));
    linux
}

/// What is declared, and in a network namespace of its own what Docker sets there: ports below 1024 and ping are for
/// every user. A namespace that is another service's is that one's to set.
fn sysctls(input: &SpecInput<'_>) -> HashMap<String, String> {
    let service = &input.template.service;
    let mut sysctls: HashMap<String, String> = service.sysctls.clone().into_iter().collect();
    if !input.own_network || matches!(service.network_mode, NetworkMode::Service(_)) {
        return sysctls;
    }
    let mut set = |(name, value): (&str, &str)| {
        // Both spellings of a name are known.
        let declared = service.sysctls.keys().any(|key| key.replace('/', ".") == name);
        if !declared {
            sysctls.insert(name.to_owned(), value.to_owned());
        }
    };
    set(UNPRIVILEGED_PORTS);
    // The kernel refuses groups that a user namespace doesn't have.
    if input.all_users {
        set(PING_GROUPS);
    }
    sysctls
}

fn node(device: &Device) -> LinuxDevice {
    let mut node = LinuxDevice::default();
    node.set_typ(device.kind)
        .set_path(device.target.clone())
        .set_major(device.major.into())
        .set_minor(device.minor.into())
        .set_file_mode(Some(device.mode))
        .set_uid(Some(device.uid))
        .set_gid(Some(device.gid));
    node
}

fn resources(service: &Service, devices: &[Device]) -> LinuxResources {
    let limits = &service.resources;
    let mut resources = LinuxResources::default();
    resources
        .set_devices(Some(device_rules(service, devices)))
        .set_cpu(Some(cpu(limits)))
        .set_memory(Some(memory(limits)))
        .set_pids(limits.pids.map(pids));
    resources
}

fn pids(limit: i64) -> LinuxPids {
    let mut pids = LinuxPids::default();
    pids.set_limit(limit);
    pids
}

fn cpu(limits: &Resources) -> LinuxCpu {
    // `cpus` is a quota in each period of 100 ms, as Docker reads it.
    let of_cpus =
        limits.cpu_millis.map(|millis| i64::try_from(millis.saturating_mul(100)).unwrap_or(i64::MAX));
    let mut cpu = LinuxCpu::default();
    cpu.set_quota(limits.cpu_quota.or(of_cpus))
        .set_period(limits.cpu_period.or(of_cpus.map(|_| 100_000)))
        .set_shares(limits.cpu_shares)
        .set_cpus(limits.cpuset.clone());
    cpu
}

pub(crate) fn memory(limits: &Resources) -> LinuxMemory {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    // Docker's rule: a memory limit alone allows as much swap again.
    let twice = limits.memory.map(|limit| bytes(limit.saturating_mul(2)));
    let mut memory = LinuxMemory::default();
    memory
        .set_limit(limits.memory.map(bytes))
        .set_swap(limits.memory_swap.or(twice))
        .set_reservation(limits.memory_reservation.map(bytes))
        .set_swappiness(limits.swappiness)
        .set_disable_oom_killer(limits.oom_kill_disable.then_some(true));
    memory
}

/// Docker's device policy: nothing, except making nodes, the usual harmless devices, terminals, and what is given.
fn device_rules(service: &Service, devices: &[Device]) -> Vec<LinuxDeviceCgroup> {
    if service.privileged {
        return vec![defaults::every_device()];
    }
    let mut rules = defaults::device_rules();
    rules.extend(devices.iter().map(rule));
    rules
}

fn rule(device: &Device) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(device.kind))
        .set_major(Some(device.major.into()))
        .set_minor(Some(device.minor.into()))
        .set_access(Some(device.access.clone()));
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_a_quota_in_each_tenth_of_a_second_unless_more_is_said() {
        let half = Resources { cpu_millis: Some(500), ..Resources::default() };
        let shown = |limits: &Resources| (cpu(limits).quota(), cpu(limits).period());
        assert_eq!(shown(&half), (Some(50_000), Some(100_000)));
        let said = Resources { cpu_quota: Some(7), cpu_period: Some(9), ..half };
        assert_eq!(shown(&said), (Some(7), Some(9)));
        assert_eq!(shown(&Resources { cpu_quota: Some(7), ..Resources::default() }), (Some(7), None));
    }

    #[test]
    fn memory_alone_allows_as_much_swap_again() {
        let limits = Resources { memory: Some(10), ..Resources::default() };
        assert_eq!((memory(&limits).limit(), memory(&limits).swap()), (Some(10), Some(20)));
        let endless = Resources { memory_swap: Some(-1), ..limits };
        assert_eq!(memory(&endless).swap(), Some(-1));
    }
}
