//! What the specification may ask for and this runtime does not do: refused, never ignored.

use oci_spec::runtime::{Linux, Process, Spec};

use crate::launch::PrepareError;

/// Refuses a specification that asks for what would be left undone.
pub(crate) fn check_spec(spec: &Spec) -> Result<(), PrepareError> {
    let hooks = spec.hooks().as_ref().is_some_and(|hooks| *hooks != oci_spec::runtime::Hooks::default());
    refuse(&[("hooks", hooks), ("vm", spec.vm().is_some())])?;
    if let Some(process) = spec.process() {
        check_process(process)?;
    }
    spec.linux().as_ref().map_or(Ok(()), check_linux)
}

fn check_linux(linux: &Linux) -> Result<(), PrepareError> {
    let filled = |list: &Option<Vec<_>>| list.as_ref().is_some_and(|list| !list.is_empty());
    refuse(&[
        ("linux.uidMappings", filled(linux.uid_mappings())),
        ("linux.gidMappings", filled(linux.gid_mappings())),
        ("linux.mountLabel", linux.mount_label().as_ref().is_some_and(|label| !label.is_empty())),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.memoryPolicy", linux.memory_policy().is_some()),
        ("linux.personality", linux.personality().is_some()),
        ("linux.timeOffsets", linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty())),
        ("linux.netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
    ])?;
    // The container's mount table is cut off from the host's: mounts can't travel out of it.
    match linux.rootfs_propagation().as_deref() {
        None | Some("" | "private" | "rprivate" | "slave" | "rslave") => Ok(()),
        Some(other) => Err(PrepareError::unsupported(format!("linux.rootfsPropagation {other}"))),
    }
}

/// As [`check_spec`], for the process alone.
pub(crate) fn check_process(process: &Process) -> Result<(), PrepareError> {
    let text = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.is_empty());
    refuse(&[
        ("process.selinuxLabel", text(process.selinux_label())),
        ("process.ioPriority", process.io_priority().is_some()),
        ("process.scheduler", process.scheduler().is_some()),
        ("process.execCPUAffinity", process.exec_cpu_affinity().is_some()),
    ])
}

fn refuse(fields: &[(&str, bool)]) -> Result<(), PrepareError> {
    let asked = fields.iter().find(|(_, asked)| *asked);
    asked.map_or(Ok(()), |(field, _)| Err(PrepareError::unsupported(*field)))
}
