//! What a container gets that asks for nothing: Docker's defaults, as parts of an OCI specification.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxCapabilities, LinuxDeviceCgroup, LinuxNamespace, LinuxNamespaceType, Mount};

use crate::capabilities;
use crate::cgroup::DeviceRule;

/// Version of what confines a container that asks for nothing: paths, mounts, kernel settings, capabilities, profile of
/// system calls. Raised with each change, so that it is known which containers still run without it.
pub const GUARDS: u32 = 1;

/// Ports below 1024 are for every user (ip-sysctl.rst). Only in a network namespace of the container's own.
pub const UNPRIVILEGED_PORTS: (&str, &str) = ("net.ipv4.ip_unprivileged_port_start", "0");

/// Ping is for every group (icmp(7)). Only in a network namespace of the container's own.
pub const PING_GROUPS: (&str, &str) = ("net.ipv4.ping_group_range", "0 2147483647");

/// Where programs are looked for when the image does not say.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Size of `/dev/shm` in bytes.
pub const SHM_SIZE: u64 = 64 << 20;

/// Parts of `/proc` and `/sys` that tell of the host or reach into it.
pub const MASKED_PATHS: [&str; 12] = [
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

/// Parts of `/proc` that may be read, but where a write would change the host.
pub const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The kernel's file systems, in an order in which they can be mounted.
pub fn mounts(shm_size: u64) -> Vec<Mount> {
    let shm_size = format!("size={shm_size}");
    let table: [(&str, &str, &str, &[&str]); 7] = [
        ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        ("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm_size]),
        ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "ro"]),
    ];
    table.into_iter().map(|(target, typ, source, options)| mount(target, typ, source, options)).collect()
}

/// A mount of a specification, with its options as words.
pub fn mount(target: impl Into<PathBuf>, typ: &str, source: impl Into<PathBuf>, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(target.into())
        .set_typ(Some(typ.to_owned()))
        .set_source(Some(source.into()))
        .set_options(Some(options.iter().map(ToString::to_string).collect()));
    mount
}

/// All kinds of namespace new, but user and time.
pub fn namespaces() -> Vec<LinuxNamespace> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let new = |typ| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(typ);
        namespace
    };
    [Mount, Cgroup, Uts, Ipc, Pid, Network].into_iter().map(new).collect()
}

/// Nothing, except making nodes, the usual harmless devices, and terminals.
pub fn device_rules() -> Vec<LinuxDeviceCgroup> {
    let rules = std::iter::once(DeviceRule::DENY_ALL).chain(DeviceRule::defaults());
    rules.map(DeviceRule::to_oci).collect()
}

/// The rule that allows everything.
pub fn every_device() -> LinuxDeviceCgroup {
    DeviceRule { allow: true, ..DeviceRule::DENY_ALL }.to_oci()
}

/// The capability sets of a process that may have these: a user other than root can only gain them, by a
/// program with file capabilities or by one that is set-uid root.
pub fn capabilities(
    granted: impl IntoIterator<Item = oci_spec::runtime::Capability>,
    uid: u32,
) -> LinuxCapabilities {
    let granted: oci_spec::runtime::Capabilities = granted.into_iter().collect();
    let held = if uid == 0 { granted.clone() } else { oci_spec::runtime::Capabilities::new() };
    let mut sets = capabilities::none();
    sets.set_bounding(Some(granted)).set_effective(Some(held.clone())).set_permitted(Some(held));
    sets
}

#[cfg(test)]
mod tests {
    use hoist_goldens::Golden;
    use oci_spec::runtime::LinuxResources;

    use super::*;
    use crate::cgroup::Limits;

    #[test]
    fn device_rules_mean_the_same_in_both_forms() {
        let mut resources = LinuxResources::default();
        resources.set_devices(Some(device_rules()));
        let (limits, _) = Limits::from_oci(&resources).unwrap();
        let rules: Vec<String> = limits.devices.iter().map(ToString::to_string).collect();
        assert_eq!(rules[..4], ["a *:* rwm", "c *:* m", "b *:* m", "c 1:3 rwm"]);
        assert!(!limits.devices[0].allow && limits.devices[1..].iter().all(|rule| rule.allow));
        assert_eq!(limits.devices[1..], DeviceRule::defaults());
        resources.set_devices(Some(vec![every_device()]));
        let (limits, _) = Limits::from_oci(&resources).unwrap();
        assert_eq!(limits.devices, [DeviceRule { allow: true, ..DeviceRule::DENY_ALL }]);
    }

    /// Everything that [`GUARDS`] is the version of.
    fn guards() -> String {
        let mut lines = vec![format!("masked {MASKED_PATHS:?}"), format!("read-only {READONLY_PATHS:?}")];
        lines.extend([UNPRIVILEGED_PORTS, PING_GROUPS].map(|(name, value)| format!("{name}={value}")));
        lines.push(format!("capabilities {:?}", capabilities::DEFAULT));
        lines.extend(mounts(SHM_SIZE).iter().map(|mount| {
            format!(
                "mount {} {:?}",
                mount.destination().display(),
                mount.options().as_deref().unwrap_or_default()
            )
        }));
        let profile = include_str!("seccomp/default.txt").lines();
        lines.extend(profile.filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned));
        lines.join("\n") + "\n"
    }

    #[test]
    fn guards_that_change_get_another_version() {
        Golden::new(env!("CARGO_MANIFEST_DIR"), &format!("guards/{GUARDS}.txt")).is_text(&guards());
    }
}
