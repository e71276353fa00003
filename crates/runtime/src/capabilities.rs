//! Capabilities by name: capabilities(7).

use oci_spec::runtime::{Capabilities as OciSet, Capability, LinuxCapabilities};
use rustix::thread::CapabilitySet;

/// What Docker gives a container that asks for nothing.
pub const DEFAULT: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::SysChroot,
    Capability::Mknod,
    Capability::AuditWrite,
    Capability::Setfcap,
];

/// Every capability with its name, in the order of the kernel's numbers, the first being 0.
const TABLE: [(Capability, &str); 41] = [
    (Capability::Chown, "chown"),
    (Capability::DacOverride, "dac_override"),
    (Capability::DacReadSearch, "dac_read_search"),
    (Capability::Fowner, "fowner"),
    (Capability::Fsetid, "fsetid"),
    (Capability::Kill, "kill"),
    (Capability::Setgid, "setgid"),
    (Capability::Setuid, "setuid"),
    (Capability::Setpcap, "setpcap"),
    (Capability::LinuxImmutable, "linux_immutable"),
    (Capability::NetBindService, "net_bind_service"),
    (Capability::NetBroadcast, "net_broadcast"),
    (Capability::NetAdmin, "net_admin"),
    (Capability::NetRaw, "net_raw"),
    (Capability::IpcLock, "ipc_lock"),
    (Capability::IpcOwner, "ipc_owner"),
    (Capability::SysModule, "sys_module"),
    (Capability::SysRawio, "sys_rawio"),
    (Capability::SysChroot, "sys_chroot"),
    (Capability::SysPtrace, "sys_ptrace"),
    (Capability::SysPacct, "sys_pacct"),
    (Capability::SysAdmin, "sys_admin"),
    (Capability::SysBoot, "sys_boot"),
    (Capability::SysNice, "sys_nice"),
    (Capability::SysResource, "sys_resource"),
    (Capability::SysTime, "sys_time"),
    (Capability::SysTtyConfig, "sys_tty_config"),
    (Capability::Mknod, "mknod"),
    (Capability::Lease, "lease"),
    (Capability::AuditWrite, "audit_write"),
    (Capability::AuditControl, "audit_control"),
    (Capability::Setfcap, "setfcap"),
    (Capability::MacOverride, "mac_override"),
    (Capability::MacAdmin, "mac_admin"),
    (Capability::Syslog, "syslog"),
    (Capability::WakeAlarm, "wake_alarm"),
    (Capability::BlockSuspend, "block_suspend"),
    (Capability::AuditRead, "audit_read"),
    (Capability::Perfmon, "perfmon"),
    (Capability::Bpf, "bpf"),
    (Capability::CheckpointRestore, "checkpoint_restore"),
];

/// Every capability this crate knows, in the order of the kernel's numbers.
pub fn all() -> impl Iterator<Item = Capability> {
    TABLE.iter().map(|(capability, _)| *capability)
}

/// A capability by its name, with or without `CAP_`, in upper or lower case.
pub fn by_name(name: &str) -> Option<Capability> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("cap_").unwrap_or(&name);
    TABLE.iter().find(|(_, known)| *known == name).map(|(capability, _)| *capability)
}

/// All five sets empty. (The type's own default is a set of its makers' choosing.)
pub(crate) fn none() -> LinuxCapabilities {
    let nothing = || Some(OciSet::new());
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(nothing()).set_effective(nothing()).set_permitted(nothing());
    sets.set_inheritable(nothing()).set_ambient(nothing());
    sets
}

/// The kernel's set of an OCI one.
pub(crate) fn set(capabilities: Option<&OciSet>) -> CapabilitySet {
    let Some(capabilities) = capabilities else { return CapabilitySet::empty() };
    let bits = TABLE.iter().enumerate().filter(|(_, (capability, _))| capabilities.contains(capability));
    bits.fold(CapabilitySet::empty(), |set, (number, _)| set | CapabilitySet::from_bits_retain(1 << number))
}

/// The names in a set, or a word for it.
pub(crate) fn text(set: CapabilitySet) -> String {
    let names: Vec<_> = TABLE
        .iter()
        .enumerate()
        .filter(|(number, _)| set.contains(CapabilitySet::from_bits_retain(1 << number)))
        .map(|(_, (_, name))| *name)
        .collect();
    match names.len() {
        0 => "none".to_owned(),
        all if all == TABLE.len() => "all".to_owned(),
        _ => names.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_set_is_the_documented_mask() {
        // What `capsh` prints inside a container of Docker's: 00000000a80425fb.
        assert_eq!(set(Some(&DEFAULT.into_iter().collect())).bits(), 0xa804_25fb);
    }

    #[test]
    fn names_are_found_however_written() {
        assert_eq!(by_name("CAP_NET_ADMIN"), Some(Capability::NetAdmin));
        assert_eq!(by_name("sys_time"), Some(Capability::SysTime));
        assert_eq!(by_name("SYS_TIMES"), None);
    }
}
