//! The `linux.seccomp` object: Docker's default profile or the person's own, for what the container may do.

use hoist_model::{Seccomp, SeccompConditions, SeccompProfile};
use hoist_runtime::seccomp::{
    Architectures, Circumstances, Conditions, Profile, Rule, check, default_profile,
};
use oci_spec::runtime::{Capabilities, LinuxSeccomp};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::SpecError;

/// The rules for programs of a service that can come to have these capabilities; none: all calls.
pub(crate) fn seccomp(
    wanted: &Seccomp,
    privileged: bool,
    capabilities: Capabilities,
) -> Result<Option<LinuxSeccomp>, SpecError> {
    match wanted {
        Seccomp::Unconfined => Ok(None),
        Seccomp::Usual if privileged => Ok(None),
        Seccomp::Usual | Seccomp::Builtin => resolve(default_profile(), capabilities).map(Some),
        Seccomp::Profile(own) => {
            let resolved = resolve(&profile(own).map_err(SpecError::Profile)?, capabilities)?;
            // One that can't be met is an error before anything of the instance is made.
            check(&resolved).map_err(SpecError::Seccomp)?;
            Ok(Some(resolved))
        }
    }
}

/// The default profile for programs with these capabilities.
pub(crate) fn usual(capabilities: Capabilities) -> Result<LinuxSeccomp, SpecError> {
    resolve(default_profile(), capabilities)
}

fn resolve(profile: &Profile, capabilities: Capabilities) -> Result<LinuxSeccomp, SpecError> {
    let here = Circumstances::here(capabilities).ok_or(SpecError::NoCalls)?;
    Ok(profile.resolve(&here))
}

/// The two forms have the same JSON but for the conditions.
fn profile(own: &SeccompProfile) -> Result<Profile, serde_json::Error> {
    let architectures = if own.arch_map.is_empty() {
        Architectures::Fixed(convert(&own.architectures)?)
    } else {
        let machines = own.arch_map.iter();
        let machines = machines.map(|of| Ok((convert(&of.architecture)?, convert(&of.sub_architectures)?)));
        Architectures::ByMachine(machines.collect::<Result<_, serde_json::Error>>()?)
    };
    let rules = own.syscalls.iter().map(|rule| {
        let (includes, excludes) = (conditions(&rule.includes), conditions(&rule.excludes));
        Ok(Rule { rule: convert(rule)?, includes, excludes })
    });
    Ok(Profile {
        default_action: convert(&own.default_action)?,
        default_errno: own.default_errno_ret,
        architectures,
        flags: own.flags.as_ref().map(convert).transpose()?,
        rules: rules.collect::<Result<_, serde_json::Error>>()?,
    })
}

fn convert<T: DeserializeOwned>(value: &impl Serialize) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::to_value(value)?)
}

fn conditions(conditions: &SeccompConditions) -> Conditions {
    Conditions {
        machines: conditions.arches.clone(),
        capabilities: conditions.caps.clone(),
        kernel: conditions.kernel(),
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Capability;

    use super::*;

    fn own() -> SeccompProfile {
        serde_json::from_value(serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "archMap": [
                { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] },
                { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] },
            ],
            "syscalls": [
                { "names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 },
                { "names": ["mount"], "action": "SCMP_ACT_KILL_PROCESS", "excludes": { "caps": ["CAP_SYS_ADMIN"] } },
                { "names": ["bpf"], "action": "SCMP_ACT_LOG", "includes": { "minKernel": "999.0" } },
                { "names": ["socket"], "action": "SCMP_ACT_TRAP",
                  "args": [{ "index": 0, "value": 16, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ" }] },
            ],
        }))
        .unwrap()
    }

    fn names(seccomp: &LinuxSeccomp) -> Vec<&str> {
        seccomp
            .syscalls()
            .iter()
            .flatten()
            .flat_map(oci_spec::runtime::LinuxSyscall::names)
            .map(String::as_str)
            .collect()
    }

    #[test]
    fn a_profile_counts_for_what_the_container_may_do() {
        let wanted = Seccomp::Profile(own());
        let resolve = |capability| seccomp(&wanted, false, [capability].into()).unwrap().unwrap();
        assert_eq!(names(&resolve(Capability::Chown)), ["chmod", "mount", "socket"]);
        let with = resolve(Capability::SysAdmin);
        assert_eq!(names(&with), ["chmod", "socket"]);
        assert_eq!(with.architectures().as_ref().unwrap().len(), 2);
        let json = serde_json::to_value(&with).unwrap();
        assert_eq!(json["syscalls"][0]["errnoRet"], 95);
        assert_eq!(json["syscalls"][1]["args"][0]["valueTwo"], 1);
    }

    #[test]
    fn nothing_said_is_the_default_and_privileged_is_unconfined_unless_a_profile_is_named() {
        let count = |wanted: Seccomp, privileged: bool| {
            seccomp(&wanted, privileged, Capabilities::new()).unwrap().map(|found| names(&found).len())
        };
        assert!(count(Seccomp::Usual, false).is_some_and(|count| count > 350));
        assert_eq!(count(Seccomp::Usual, true), None);
        assert!(count(Seccomp::Builtin, true).is_some_and(|count| count > 350));
        assert_eq!(count(Seccomp::Profile(own()), true), Some(3));
        assert_eq!(count(Seccomp::Unconfined, false), None);
    }
}
