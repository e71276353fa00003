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

/// Every capability that the kernel's headers and the OCI specification know, in the order of the kernel's numbers.
pub fn all() -> impl Iterator<Item = Capability> {
    CapabilitySet::all().iter_names().filter_map(|(name, _)| name.parse().ok())
}

/// A capability by its name, with or without `CAP_`, in upper or lower case.
pub fn by_name(name: &str) -> Option<Capability> {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).parse().ok()
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
    let bits = capabilities.into_iter().flatten();
    bits.filter_map(|capability| CapabilitySet::from_name(&capability.to_string())).collect()
}

/// The names in a set, or a word for it.
pub(crate) fn text(set: CapabilitySet) -> String {
    let names: Vec<_> = set.iter_names().map(|(name, _)| name.to_ascii_lowercase()).collect();
    match names.len() {
        0 => "none".to_owned(),
        every if every == CapabilitySet::all().iter_names().count() => "all".to_owned(),
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

    #[test]
    fn kernel_and_specification_have_the_same_names() {
        let everything = all().collect::<OciSet>();
        assert_eq!(everything.len(), 41);
        assert_eq!(set(Some(&everything)).bits(), (1 << 41) - 1);
        assert_eq!(text(set(Some(&everything))), "all");
        assert_eq!(text(CapabilitySet::CHOWN | CapabilitySet::KILL), "chown kill");
        assert_eq!(text(CapabilitySet::empty()), "none");
    }
}
