//! The `linux` object: namespaces, limits, what is masked.

use std::collections::BTreeMap;

use hoist_model::{NetworkMode, Resources, Service};
use serde_json::{Map, Value, json};

use super::SpecInput;
use crate::instances::devices::Device;

/// Kernel interfaces that tell of or reach outside the container (Docker's list).
pub(crate) const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Kernel settings that may be read, not written (Docker's list).
pub(crate) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

pub(super) fn linux(input: &SpecInput<'_>) -> Value {
    let service = &input.template.service;
    let mut namespaces = vec!["pid", "mount", "uts", "ipc", "cgroup"];
    if input.own_network {
        namespaces.push("network");
    }
    let open = service.privileged || service.open_system_paths;
    let (masked, read_only): (&[&str], &[&str]) = if open { (&[], &[]) } else { (&MASKED, &READ_ONLY) };
    json!({
        "namespaces": namespaces.iter().map(|kind| json!({ "type": kind })).collect::<Vec<_>>(),
        "resources": resources(service, input.devices),
        "sysctl": sysctls(input),
        "maskedPaths": masked,
        "readonlyPaths": read_only,
        "devices": nodes(input.devices),
        "rootfsPropagation": "private",
    })
}

/// What is declared, and in a network namespace of its own what Docker sets there: ports below 1024 and ping are for
/// every user. A namespace that is another service's is that one's to set.
fn sysctls(input: &SpecInput<'_>) -> BTreeMap<String, String> {
    let service = &input.template.service;
    let mut sysctls = service.sysctls.clone();
    if !input.own_network || matches!(service.network_mode, NetworkMode::Service(_)) {
        return sysctls;
    }
    let mut set = |name: &str, value: &str| {
        // Both spellings of a name are known.
        let declared = service.sysctls.keys().any(|key| key.replace('/', ".") == name);
        if !declared {
            sysctls.insert(name.to_owned(), value.to_owned());
        }
    };
    set("net.ipv4.ip_unprivileged_port_start", "0");
    // The kernel refuses groups that a user namespace doesn't have.
    if input.all_users {
        set("net.ipv4.ping_group_range", "0 2147483647");
    }
    sysctls
}

fn nodes(devices: &[Device]) -> Vec<Value> {
    devices
        .iter()
        .map(|device| {
            json!({
                "type": device.kind,
                "path": device.target,
                "major": device.major,
                "minor": device.minor,
                "fileMode": device.mode,
                "uid": device.uid,
                "gid": device.gid,
            })
        })
        .collect()
}

fn resources(service: &Service, devices: &[Device]) -> Value {
    let limits = &service.resources;
    let mut value = Map::new();
    value.insert("devices".into(), Value::Array(device_rules(service, devices)));
    value.insert("cpu".into(), cpu(limits));
    value.insert("memory".into(), memory(limits));
    if let Some(pids) = limits.pids {
        value.insert("pids".into(), json!({ "limit": pids }));
    }
    Value::Object(value)
}

fn cpu(limits: &Resources) -> Value {
    let mut cpu = Map::new();
    if let Some(millis) = limits.cpu_millis {
        // `cpus` is a quota in each period of 100 ms, as Docker reads it.
        cpu.insert("period".into(), json!(100_000));
        cpu.insert("quota".into(), json!(millis.saturating_mul(100)));
    }
    for (key, number) in
        [("quota", limits.cpu_quota.map(Value::from)), ("period", limits.cpu_period.map(Value::from))]
    {
        if let Some(number) = number {
            cpu.insert(key.into(), number);
        }
    }
    if let Some(shares) = limits.cpu_shares {
        cpu.insert("shares".into(), json!(shares));
    }
    if let Some(cpus) = &limits.cpuset {
        cpu.insert("cpus".into(), json!(cpus));
    }
    Value::Object(cpu)
}

pub(crate) fn memory(limits: &Resources) -> Value {
    let mut memory = Map::new();
    if let Some(bytes) = limits.memory {
        memory.insert("limit".into(), json!(bytes));
        // Docker's rule: a memory limit alone allows as much swap again.
        let swap =
            limits.memory_swap.unwrap_or_else(|| i64::try_from(bytes.saturating_mul(2)).unwrap_or(i64::MAX));
        memory.insert("swap".into(), json!(swap));
    } else if let Some(swap) = limits.memory_swap {
        memory.insert("swap".into(), json!(swap));
    }
    if let Some(bytes) = limits.memory_reservation {
        memory.insert("reservation".into(), json!(bytes));
    }
    if let Some(swappiness) = limits.swappiness {
        memory.insert("swappiness".into(), json!(swappiness));
    }
    if limits.oom_kill_disable {
        memory.insert("disableOOMKiller".into(), json!(true));
    }
    Value::Object(memory)
}

/// Docker's device policy: nothing, except making nodes, the usual harmless devices, terminals, and what is given.
fn device_rules(service: &Service, devices: &[Device]) -> Vec<Value> {
    if service.privileged {
        return all_devices();
    }
    let mut rules = usual_devices();
    let rule = |device: &Device| {
        json!({
            "allow": true,
            "type": device.kind,
            "major": device.major,
            "minor": device.minor,
            "access": device.access,
        })
    };
    rules.extend(devices.iter().map(rule));
    rules
}

/// Every device.
pub(crate) fn all_devices() -> Vec<Value> {
    vec![json!({ "allow": true, "access": "rwm" })]
}

/// Nothing, except making nodes, the usual harmless devices, and terminals.
pub(crate) fn usual_devices() -> Vec<Value> {
    let allow = |kind: &str, major: Option<i64>, minor: Option<i64>, access: &str| {
        let mut rule = json!({ "allow": true, "type": kind, "access": access });
        if let Some(major) = major {
            rule["major"] = json!(major);
        }
        if let Some(minor) = minor {
            rule["minor"] = json!(minor);
        }
        rule
    };
    let mut rules = vec![
        json!({ "allow": false, "access": "rwm" }),
        allow("c", None, None, "m"),
        allow("b", None, None, "m"),
    ];
    // mem(4), random(4), tty(4), pts(4): null, zero, full, random, urandom, tty, console, ptmx, pts.
    for (major, minor) in [
        (1, Some(3)),
        (1, Some(5)),
        (1, Some(7)),
        (1, Some(8)),
        (1, Some(9)),
        (5, Some(0)),
        (5, Some(1)),
        (5, Some(2)),
        (136, None),
    ] {
        rules.push(allow("c", Some(major), minor, "rwm"));
    }
    rules
}
