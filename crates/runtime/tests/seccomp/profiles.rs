//! Profiles to test with.

use hoist_runtime::capabilities;
use hoist_runtime::seccomp::{Architecture, Circumstances, default_profile};
use oci_spec::runtime::{Capability, LinuxSeccomp};
use serde_json::{Value, json};

/// A profile written as JSON.
pub(crate) fn profile(value: Value) -> LinuxSeccomp {
    serde_json::from_value(value).unwrap()
}

/// A rule of it.
pub(crate) fn rule(names: &[&str], action: &str, args: &Value) -> Value {
    json!({ "names": names, "action": action, "args": args })
}

/// Docker's default for a container with these capabilities.
pub(crate) fn docker(native: Architecture, capabilities: &[Capability]) -> LinuxSeccomp {
    let capabilities = capabilities.iter().copied().collect();
    default_profile().resolve(&Circumstances { native, capabilities, kernel: (6, 1) })
}

/// With Docker's default capabilities and more.
pub(crate) fn docker_with(native: Architecture, more: &[Capability]) -> LinuxSeccomp {
    let all: Vec<_> = capabilities::DEFAULT.iter().chain(more).copied().collect();
    docker(native, &all)
}
