//! An instance as the OCI runtime specification writes it. Pure: what must be looked up (the user in the image,
//! paths of volumes) comes in looked up.

mod env;
pub(crate) mod linux;
pub(crate) mod mounts;
pub(crate) mod process;
pub(crate) mod seccomp;

use hoist_model::{InstanceUid, Slot, Template};
use hoist_runtime::seccomp::CompileError;
use oci_spec::runtime::Spec;
use serde_json::json;

use crate::instances::devices::Device;

pub use env::{environment, search_path};
pub use mounts::{MountInput, SourcePath};
pub use process::{ProcessInput, arguments, process};

/// Everything that decides how an instance is launched.
#[derive(Debug, Clone, Copy)]
pub struct SpecInput<'a> {
    /// Its definition.
    pub template: &'a Template,
    /// The instance.
    pub uid: &'a InstanceUid,
    /// The slot it fills.
    pub slot: &'a Slot,
    /// Who it runs as, from the image's own files.
    pub user: &'a hoist_runtime::users::Identity,
    /// Its host name.
    pub hostname: &'a str,
    /// Its own network namespace is handed over (else the host's is used).
    pub own_network: bool,
    /// Paths behind its mounts.
    pub mounts: &'a MountInput,
    /// Devices of the host that it is given.
    pub devices: &'a [Device],
    /// The agent has all users of the machine, and not a part of them.
    pub all_users: bool,
}

/// A template that asks for something OCI has no form for.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A part of it isn't valid OCI.
    #[error("the service can't be written as an OCI specification")]
    Oci(#[source] serde_json::Error),
    /// A tmpfs option that isn't known.
    #[error("tmpfs option {0:?} is not known")]
    TmpfsOption(String),
    /// Neither image nor service says what to run.
    #[error("nothing to run: neither the service nor its image names a command")]
    NoCommand,
    /// Its profile of system calls asks for what the kernel doesn't do.
    #[error("the seccomp profile can't be used")]
    Seccomp(#[source] CompileError),
    /// No filter of system calls can be made for this machine.
    #[error("there is no table of system calls for this machine's architecture, so they can't be filtered")]
    NoCalls,
}

/// Writes the specification.
///
/// # Errors
/// When the template asks for something that has no OCI form.
pub fn spec(input: &SpecInput<'_>) -> Result<Spec, SpecError> {
    let service = &input.template.service;
    let process_input = ProcessInput {
        template: input.template,
        user: input.user,
        hostname: input.hostname,
        command: None,
        tty: service.tty,
    };
    let document = json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs", "readonly": service.read_only },
        "hostname": input.hostname,
        "domainname": service.domainname.clone().unwrap_or_default(),
        "annotations": service.annotations,
        "process": process(&process_input)?,
        "mounts": mounts::mounts(input)?,
        "linux": linux::linux(input),
    });
    let mut spec: Spec = serde_json::from_value(document).map_err(SpecError::Oci)?;
    let filter =
        seccomp::seccomp(&service.seccomp, service.privileged, &process::capabilities(input.template))?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(filter);
    }
    Ok(spec)
}
