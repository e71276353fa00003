//! What `build` says of the surroundings of RUN, and for which platform an image is.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{RunSettings, Ulimit};
use serde::Deserialize;
use serde_json::Value;

/// The attributes of `build` that are about how commands run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Settings {
    extra_hosts: Vec<String>,
    shm_size: Option<String>,
    ulimits: BTreeMap<String, Value>,
    privileged: bool,
    entitlements: BTreeSet<String>,
    pub no_cache_filter: BTreeSet<String>,
}

/// The entitlement that BuildKit calls this too.
const INSECURE: &str = "security.insecure";

impl Settings {
    /// What the agent is told; `memory` is the command line's.
    pub(super) fn of_run(&self, memory: Option<u64>) -> Result<RunSettings, String> {
        let shm = self.shm_size.as_deref().map(str::parse::<u64>).transpose();
        let ulimits = self.ulimits.iter().map(|(name, value)| {
            ulimit(name, value).ok_or_else(|| format!("ulimits.{name}: {value} is not a limit"))
        });
        Ok(RunSettings {
            extra_hosts: self.extra_hosts.iter().filter_map(|text| host(text)).collect(),
            // The kernel would take 0 for no bound; here it is the usual one, as with Docker.
            shm_size: shm.map_err(|error| format!("shm_size: {error}"))?.filter(|size| *size > 0),
            ulimits: ulimits.collect::<Result<_, _>>()?,
            memory,
            insecure: self.privileged || self.entitlements.contains(INSECURE),
        })
    }
}

/// `name=address`, as the canonical form has it; the brackets of an IPv6 address are no part of it.
fn host(text: &str) -> Option<(String, String)> {
    let (name, address) = text.split_once('=')?;
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    Some((name.to_owned(), address.to_owned()))
}

fn ulimit(name: &str, value: &Value) -> Option<Ulimit> {
    let (soft, hard) = match value {
        Value::Object(map) => (map.get("soft")?.as_i64()?, map.get("hard")?.as_i64()?),
        one => (one.as_i64()?, one.as_i64()?),
    };
    Some(Ulimit { name: name.to_owned(), soft, hard })
}

/// The platform of a service's image: the service's own word, else of the build's platforms this machine's, else the
/// first. A name stands for an image of one platform.
pub(super) fn platform(service: Option<&str>, platforms: &[String]) -> Option<String> {
    let own = || platforms.iter().find(|platform| is_this_machine(platform)).or(platforms.first()).cloned();
    service.map(str::to_owned).or_else(own)
}

fn is_this_machine(platform: &str) -> bool {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    let mut parts = platform.split('/');
    parts.next() == Some("linux") && parts.next() == Some(architecture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses() {
        let settings: Settings = serde_json::from_value(serde_json::json!({
            "extra_hosts": ["db=192.0.2.1", "six=[::1]", "host=host-gateway"], "shm_size": "0",
            "ulimits": { "nofile": 10, "nproc": { "soft": 1, "hard": 2 } },
        }))
        .unwrap();
        let run = settings.of_run(Some(7)).unwrap();
        let hosts: Vec<String> = run.extra_hosts.iter().map(|(name, to)| format!("{name} {to}")).collect();
        assert_eq!(hosts, ["db 192.0.2.1", "six ::1", "host host-gateway"]);
        assert_eq!((run.shm_size, run.memory, run.insecure), (None, Some(7), false));
        assert_eq!(
            run.ulimits.iter().map(|limit| (limit.soft, limit.hard)).collect::<Vec<_>>(),
            [(10, 10), (1, 2)]
        );
    }

    #[test]
    fn this_machines_platform_goes_before_the_first() {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let own = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
        assert_eq!(platform(None, &list(&["linux/s390x", own])).as_deref(), Some(own));
        assert_eq!(platform(None, &list(&["linux/s390x", "linux/riscv64"])).as_deref(), Some("linux/s390x"));
        assert_eq!(platform(Some("linux/386"), &list(&[own])).as_deref(), Some("linux/386"));
        assert_eq!(platform(None, &[]), None);
    }
}
