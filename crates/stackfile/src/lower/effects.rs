//! What each key does: acted on, not yet, or nothing on Linux. A key without effect is a warning at its line.

use super::process::is_written;
use crate::diagnostic::{Diagnostic, Report};
use crate::node::{Node, Value};
use crate::place::Path;
use crate::project::Project;
use crate::stages::check::section;

/// What a key does.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// It is acted on.
    Acts,
    /// It will be; for now it has no effect.
    Later,
    /// It has none, for this reason.
    Never(&'static str),
    /// Its parts say.
    Parts(&'static [(&'static str, Effect)]),
    /// Each item or named entry says.
    Each(&'static [(&'static str, Effect)]),
}

use Effect::{Acts, Each, Later, Never, Parts};

const WINDOWS: Effect = Never("it is for Windows");
const CGROUP_REALTIME: Effect = Never("real-time groups need a kernel that hardly any distribution builds");

/// The attributes of a service.
pub const SERVICE: &[(&str, Effect)] = &[
    ("annotations", Acts),
    ("attach", Acts),
    ("blkio_config", Later),
    ("build", Parts(BUILD)),
    ("cap_add", Acts),
    ("cap_drop", Acts),
    ("cgroup", Later),
    ("cgroup_parent", Later),
    ("command", Acts),
    ("configs", Acts),
    ("container_name", Acts),
    ("cpu_count", WINDOWS),
    ("cpu_percent", WINDOWS),
    ("cpu_period", Acts),
    ("cpu_quota", Acts),
    ("cpu_rt_period", CGROUP_REALTIME),
    ("cpu_rt_runtime", CGROUP_REALTIME),
    ("cpu_shares", Acts),
    ("cpus", Acts),
    ("cpuset", Acts),
    ("credential_spec", WINDOWS),
    ("depends_on", Acts),
    ("deploy", Parts(DEPLOY)),
    ("develop", Later),
    ("device_cgroup_rules", Later),
    ("devices", Acts),
    ("dns", Acts),
    ("dns_opt", Acts),
    ("dns_search", Acts),
    ("domainname", Acts),
    ("entrypoint", Acts),
    ("env_file", Acts),
    ("environment", Acts),
    ("expose", Acts),
    ("extends", Acts),
    ("external_links", Later),
    ("extra_hosts", Acts),
    ("gpus", Later),
    ("group_add", Acts),
    ("healthcheck", Acts),
    ("hostname", Acts),
    ("image", Acts),
    ("init", Acts),
    ("ipc", Later),
    ("isolation", Acts),
    ("label_file", Acts),
    ("labels", Acts),
    ("links", Acts),
    ("logging", Acts),
    ("mac_address", Acts),
    ("mem_limit", Acts),
    ("mem_reservation", Acts),
    ("mem_swappiness", Acts),
    ("memswap_limit", Acts),
    ("models", Later),
    ("network_mode", Acts),
    ("networks", Each(ATTACHMENT)),
    ("oom_kill_disable", Acts),
    ("oom_score_adj", Acts),
    ("pid", Later),
    ("pids_limit", Acts),
    ("platform", Later),
    ("ports", Acts),
    ("post_start", Acts),
    ("pre_start", Acts),
    ("pre_stop", Acts),
    ("privileged", Acts),
    ("profiles", Acts),
    ("provider", Later),
    ("pull_policy", Acts),
    ("pull_refresh_after", Acts),
    ("read_only", Acts),
    ("restart", Acts),
    ("runtime", Acts),
    ("scale", Acts),
    ("secrets", Acts),
    ("security_opt", Acts),
    ("shm_size", Acts),
    ("stdin_open", Acts),
    ("stop_grace_period", Acts),
    ("stop_signal", Acts),
    ("storage_opt", Later),
    ("sysctls", Acts),
    ("tmpfs", Acts),
    ("tty", Acts),
    ("ulimits", Acts),
    ("use_api_socket", Later),
    ("user", Acts),
    ("userns_mode", Acts),
    ("uts", Later),
    ("volumes", Each(VOLUME)),
    ("volumes_from", Later),
    ("working_dir", Acts),
];

const BUILD: &[(&str, Effect)] = &[
    ("context", Acts),
    ("dockerfile", Acts),
    ("dockerfile_inline", Acts),
    ("entitlements", Acts),
    ("args", Acts),
    // Their values say: see `build`.
    ("provenance", Acts),
    ("sbom", Acts),
    ("ssh", Acts),
    ("labels", Acts),
    ("cache_from", Acts),
    ("cache_to", Acts),
    ("no_cache", Acts),
    ("no_cache_filter", Acts),
    ("additional_contexts", Acts),
    ("pull", Acts),
    ("extra_hosts", Acts),
    ("isolation", WINDOWS),
    ("network", Acts),
    ("target", Acts),
    ("secrets", Acts),
    ("shm_size", Acts),
    ("tags", Acts),
    ("ulimits", Acts),
    ("platforms", Acts),
    ("privileged", Acts),
];
const DEPLOY: &[(&str, Effect)] = &[
    ("mode", Later),
    ("replicas", Acts),
    ("labels", Later),
    ("update_config", Parts(UPDATE)),
    ("rollback_config", Later),
    ("resources", Parts(RESOURCES)),
    ("restart_policy", Parts(RESTART)),
    ("placement", Later),
    ("endpoint_mode", Acts),
];
const UPDATE: &[(&str, Effect)] = &[
    ("parallelism", Acts),
    ("delay", Acts),
    ("failure_action", Acts),
    ("monitor", Later),
    ("max_failure_ratio", Acts),
    ("order", Acts),
];
const RESOURCES: &[(&str, Effect)] = &[
    ("limits", Acts),
    (
        "reservations",
        Parts(&[("cpus", Acts), ("memory", Acts), ("devices", Later), ("generic_resources", Later)]),
    ),
];
const RESTART: &[(&str, Effect)] =
    &[("condition", Acts), ("max_attempts", Acts), ("delay", Acts), ("window", Acts)];
const ATTACHMENT: &[(&str, Effect)] = &[
    ("aliases", Acts),
    ("driver_opts", Later),
    ("gw_priority", Acts),
    ("interface_name", Acts),
    ("ipv4_address", Acts),
    ("ipv6_address", Acts),
    ("link_local_ips", Later),
    ("mac_address", Acts),
    ("priority", Acts),
];
const VOLUME: &[(&str, Effect)] = &[
    ("type", Acts),
    ("source", Acts),
    ("target", Acts),
    ("read_only", Acts),
    ("consistency", Never("it is for virtual machines on other systems")),
    ("bind", Acts),
    ("volume", Parts(&[("labels", Later), ("nocopy", Acts), ("subpath", Acts)])),
    ("tmpfs", Acts),
    ("image", Acts),
];

/// The attributes of a network.
pub const NETWORK: &[(&str, Effect)] = &[
    ("name", Acts),
    ("driver", Acts),
    ("driver_opts", Later),
    ("ipam", Parts(&[("driver", Acts), ("config", Each(POOL)), ("options", Later)])),
    ("external", Acts),
    ("internal", Acts),
    ("attachable", Acts),
    ("labels", Acts),
    ("enable_ipv4", Later),
    ("enable_ipv6", Acts),
];
const POOL: &[(&str, Effect)] =
    &[("subnet", Acts), ("gateway", Later), ("ip_range", Later), ("aux_addresses", Later)];

/// The attributes of a volume.
pub const NAMED_VOLUME: &[(&str, Effect)] =
    &[("name", Acts), ("driver", Acts), ("driver_opts", Acts), ("external", Acts), ("labels", Acts)];

const FILE: &[(&str, Effect)] = &[
    ("name", Acts),
    ("file", Acts),
    ("environment", Acts),
    ("content", Acts),
    ("external", Acts),
    ("labels", Later),
    ("driver", Acts),
    ("driver_opts", Later),
    ("template_driver", Later),
];

/// Warns of every key without effect in the services in use and their resources.
pub(super) fn warn(project: &Project, report: &mut Report) {
    let sections = [
        ("services", SERVICE),
        ("networks", NETWORK),
        ("volumes", NAMED_VOLUME),
        ("configs", FILE),
        ("secrets", FILE),
    ];
    for (name, effects) in sections {
        let path = Path::TOP.key(name);
        for (entry, node) in section(&project.tree, name) {
            walk(node, effects, &path.key(entry), report);
            if let Some(build) = node.get("build").filter(|_| name == "services") {
                super::build::warn(build, &path.key(entry).key("build"), report);
            }
        }
    }
    for (name, node) in section(&project.tree, "networks") {
        driver("network", name, node, &["bridge", "default", "none"], report);
    }
    for (name, node) in section(&project.tree, "volumes") {
        driver("volume", name, node, &["local", "default"], report);
    }
}

/// Drivers that aren't there: the network or volume is made as the usual one.
fn driver(kind: &str, name: &str, node: &Node, known: &[&str], report: &mut Report) {
    let Some(driver) = node.get("driver") else { return };
    if let Some(text) = driver.as_text().filter(|text| !known.contains(text)) {
        let message = format!("the {kind} `{name}` wants the driver `{text}`, which has no effect");
        report.warning("no-effect", driver.span, message);
    }
}

fn walk(node: &Node, effects: &[(&str, Effect)], path: &Path<'_>, report: &mut Report) {
    for (key, node) in node.as_map().into_iter().flatten() {
        let path = path.key(key);
        let Some((_, effect)) = effects.iter().find(|(name, _)| name == key) else { continue };
        match effect {
            Acts => {}
            Later | Never(_) if !is_written(node) => {}
            Later => {
                report.warning("no-effect-yet", node.place(), format!("`{path}` has no effect yet"));
            }
            Never(reason) => {
                let finding = Diagnostic::warning("no-effect", format!("`{path}` has no effect: {reason}"));
                report.push(finding.label(node.place(), ""));
            }
            Parts(parts) => walk(node, parts, &path, report),
            Each(parts) => match &node.value {
                Value::List(list) => {
                    for (index, item) in list.iter().enumerate() {
                        walk(item, parts, &path.index(index), report);
                    }
                }
                Value::Map(map) => {
                    for (name, node) in map {
                        walk(node, parts, &path.key(name), report);
                    }
                }
                _ => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn every_attribute_of_a_service_has_an_effect() {
        for field in schema::SERVICE.fields {
            assert!(SERVICE.iter().any(|(name, _)| *name == field.name), "{}", field.name);
        }
        assert_eq!(SERVICE.len(), schema::SERVICE.fields.len());
    }
}
