//! A RUN step as the OCI runtime specification writes it: what an instance gets by default, or all there is with
//! `--security=insecure`, and the step's own mounts.

use std::path::Path;

use hoist_image::builder::execute::Job;
use hoist_image::builder::graph::{Network, Security};
use hoist_model::Resources;
use hoist_runtime::users::Identity;
use hoist_runtime::{capabilities, defaults};
use oci_spec::runtime::{Capabilities, LinuxResources, Mount, Process, Spec};

use crate::instances::oci::linux::{confined, memory};
use crate::instances::oci::mounts::kernel_mounts;
use crate::instances::oci::process::{rlimits, user};
use crate::instances::oci::seccomp::usual;
use crate::instances::oci::{self, SpecError};

const HOSTNAME: &str = "buildkitsandbox";

/// Writes the specification; `mounts` are the step's own, in order; `hosts` is what it gets for the host's
/// `/etc/hosts`.
pub(super) fn spec(
    job: &Job,
    user: &Identity,
    mounts: &[Mount],
    hosts: Option<&Path>,
) -> Result<Spec, SpecError> {
    let insecure = job.security == Security::Insecure;
    let capabilities: Capabilities =
        if insecure { capabilities::all().collect() } else { capabilities::DEFAULT.into_iter().collect() };
    let mut linux = confined(job.network == Network::None, insecure);
    linux.set_resources(Some(resources(job, insecure)));
    if !insecure {
        linux.set_seccomp(Some(usual(capabilities.clone())?));
    }
    let mut all = kernel_mounts(insecure, job.settings.shm_size.unwrap_or(defaults::SHM_SIZE));
    all.extend(files(job, hosts));
    all.extend_from_slice(mounts);
    let mut spec = oci::empty(HOSTNAME, false);
    spec.set_process(Some(process(job, user, capabilities)?)).set_mounts(Some(all)).set_linux(Some(linux));
    Ok(spec)
}

fn process(job: &Job, identity: &Identity, granted: Capabilities) -> Result<Process, SpecError> {
    let cwd: &str = if job.working_dir.is_empty() { "/" } else { &job.working_dir };
    let mut process = Process::default();
    process
        .set_terminal(Some(false))
        .set_user(user(identity))
        .set_args(Some(job.command.clone()))
        .set_env(Some(environment(job, identity)))
        .set_cwd(cwd.into())
        .set_capabilities(Some(defaults::capabilities(granted, identity.uid)))
        .set_no_new_privileges(Some(false))
        .set_rlimits(Some(rlimits(&job.settings.ulimits)?));
    Ok(process)
}

fn resources(job: &Job, insecure: bool) -> LinuxResources {
    let limits = Resources { memory: job.settings.memory, ..Resources::default() };
    let devices = if insecure { vec![defaults::every_device()] } else { defaults::device_rules() };
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(devices)).set_memory(Some(memory(&limits)));
    resources
}

/// How names are found: as on the host, whose network it is.
fn files(job: &Job, hosts: Option<&Path>) -> Vec<Mount> {
    let own = (job.network != Network::None).then_some(Path::new("/etc/resolv.conf"));
    let usual = (job.network != Network::None).then_some(Path::new("/etc/hosts"));
    let files = [("/etc/resolv.conf", own), ("/etc/hosts", hosts.or(usual))];
    let declared = |target: &str| job.mounts.iter().any(|mount| mount.target == Path::new(target));
    let there =
        files.into_iter().filter_map(|(target, source)| Some((target, source.filter(|path| path.exists())?)));
    there
        .filter(|(target, _)| !declared(target))
        .map(|(target, source)| defaults::mount(target, "bind", source, &["bind", "rprivate", "ro"]))
        .collect()
}

fn environment(job: &Job, user: &Identity) -> Vec<String> {
    let mut environment = job.environment.clone();
    for (name, value) in [("PATH", defaults::PATH), ("HOME", &user.home[..]), ("HOSTNAME", HOSTNAME)] {
        environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}
