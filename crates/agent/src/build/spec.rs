//! A RUN step as the OCI runtime specification writes it: what an instance gets by default, and the step's own mounts.

use std::path::Path;

use hoist_image::build::execute::Job;
use hoist_image::build::graph::Network;
use hoist_runtime::users::Identity;
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use crate::oci::linux::{MASKED, READ_ONLY, usual_devices};
use crate::oci::mounts::{SHM_SIZE, kernel_mounts};
use crate::oci::process::DEFAULT_CAPABILITIES;

/// Docker's default when nothing sets `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const HOSTNAME: &str = "buildkitsandbox";

/// Writes the specification; `mounts` are the step's own, in order.
pub(super) fn spec(job: &Job, user: &Identity, mounts: &[Value]) -> Result<Spec, serde_json::Error> {
    let mut namespaces = vec!["pid", "mount", "uts", "ipc", "cgroup"];
    if job.network == Network::None {
        namespaces.push("network");
    }
    let capabilities: Vec<String> = DEFAULT_CAPABILITIES.iter().map(|name| format!("CAP_{name}")).collect();
    let effective = if user.uid == 0 { capabilities.clone() } else { Vec::new() };
    let mut all = kernel_mounts(false, SHM_SIZE);
    for (target, source) in [("/etc/resolv.conf", "/etc/resolv.conf"), ("/etc/hosts", "/etc/hosts")] {
        let declared = job.mounts.iter().any(|mount| mount.target == Path::new(target));
        if job.network != Network::None && !declared && Path::new(source).exists() {
            all.push(json!({
                "destination": target, "type": "bind", "source": source, "options": ["bind", "rprivate", "ro"],
            }));
        }
    }
    all.extend_from_slice(mounts);
    serde_json::from_value(json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs", "readonly": false },
        "hostname": HOSTNAME,
        "process": {
            "terminal": false,
            "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups },
            "args": job.command,
            "env": environment(job, user),
            "cwd": if job.working_dir.is_empty() { "/" } else { &job.working_dir },
            "capabilities": {
                "bounding": capabilities, "effective": effective, "permitted": effective,
                "inheritable": [], "ambient": [],
            },
            "noNewPrivileges": false,
        },
        "mounts": all,
        "linux": {
            "namespaces": namespaces.iter().map(|kind| json!({ "type": kind })).collect::<Vec<_>>(),
            "resources": { "devices": usual_devices() },
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "rootfsPropagation": "private",
        },
    }))
}

fn environment(job: &Job, user: &Identity) -> Vec<String> {
    let mut environment = job.environment.clone();
    for (name, value) in [("PATH", PATH), ("HOME", &user.home[..]), ("HOSTNAME", HOSTNAME)] {
        environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}
