//! A RUN step as the OCI runtime specification writes it: what an instance gets by default, or all there is with
//! `--security=insecure`, and the step's own mounts.

use std::path::Path;

use hoist_image::builder::execute::Job;
use hoist_image::builder::graph::{Network, Security};
use hoist_model::Resources;
use hoist_runtime::users::Identity;
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use crate::instances::oci::SpecError;
use crate::instances::oci::linux::{MASKED, READ_ONLY, all_devices, memory, usual_devices};
use crate::instances::oci::mounts::{SHM_SIZE, kernel_mounts};
use crate::instances::oci::process::{ALL_CAPABILITIES, DEFAULT_CAPABILITIES, rlimits};
use crate::instances::oci::seccomp::usual;

/// Docker's default when nothing sets `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const HOSTNAME: &str = "buildkitsandbox";

/// Writes the specification; `mounts` are the step's own, in order; `hosts` is what it gets for the host's
/// `/etc/hosts`.
pub(super) fn spec(
    job: &Job,
    user: &Identity,
    mounts: &[Value],
    hosts: Option<&Path>,
) -> Result<Spec, SpecError> {
    let mut namespaces = vec!["pid", "mount", "uts", "ipc", "cgroup"];
    if job.network == Network::None {
        namespaces.push("network");
    }
    let insecure = job.security == Security::Insecure;
    let capabilities: &[&str] = if insecure { &ALL_CAPABILITIES } else { &DEFAULT_CAPABILITIES };
    let capabilities: Vec<String> = capabilities.iter().map(|name| format!("CAP_{name}")).collect();
    let effective = if user.uid == 0 { capabilities.clone() } else { Vec::new() };
    let mut all = kernel_mounts(insecure, job.settings.shm_size.unwrap_or(SHM_SIZE));
    all.extend(files(job, hosts));
    all.extend_from_slice(mounts);
    let (masked, read_only): (&[&str], &[&str]) = if insecure { (&[], &[]) } else { (&MASKED, &READ_ONLY) };
    let mut spec: Spec = serde_json::from_value(json!({
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
            "rlimits": rlimits(&job.settings.ulimits),
        },
        "mounts": all,
        "linux": {
            "namespaces": namespaces.iter().map(|kind| json!({ "type": kind })).collect::<Vec<_>>(),
            "resources": resources(job, insecure),
            "maskedPaths": masked,
            "readonlyPaths": read_only,
            "rootfsPropagation": "private",
        },
    }))
    .map_err(SpecError::Oci)?;
    if let Some(linux) = spec.linux_mut().as_mut().filter(|_| !insecure) {
        linux.set_seccomp(Some(usual(&capabilities)?));
    }
    Ok(spec)
}

fn resources(job: &Job, insecure: bool) -> Value {
    let limits = Resources { memory: job.settings.memory, ..Resources::default() };
    let devices = if insecure { all_devices() } else { usual_devices() };
    json!({ "devices": devices, "memory": memory(&limits) })
}

/// How names are found: as on the host, whose network it is.
fn files(job: &Job, hosts: Option<&Path>) -> Vec<Value> {
    let own = (job.network != Network::None).then_some(Path::new("/etc/resolv.conf"));
    let usual = (job.network != Network::None).then_some(Path::new("/etc/hosts"));
    let files = [("/etc/resolv.conf", own), ("/etc/hosts", hosts.or(usual))];
    let declared = |target: &str| job.mounts.iter().any(|mount| mount.target == Path::new(target));
    let there =
        files.into_iter().filter_map(|(target, source)| Some((target, source.filter(|path| path.exists())?)));
    there
        .filter(|(target, _)| !declared(target))
        .map(|(target, source)| {
            json!({
                "destination": target, "type": "bind", "source": source, "options": ["bind", "rprivate", "ro"],
            })
        })
        .collect()
}

fn environment(job: &Job, user: &Identity) -> Vec<String> {
    let mut environment = job.environment.clone();
    for (name, value) in [("PATH", PATH), ("HOME", &user.home[..]), ("HOSTNAME", HOSTNAME)] {
        environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}
