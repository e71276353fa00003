//! An instance as the OCI runtime specification writes it. Pure: what must be looked up (the user in the image,
//! paths of volumes) comes in looked up.

mod env;
pub(crate) mod linux;
pub(crate) mod mounts;
pub(crate) mod process;
pub(crate) mod seccomp;

use crate::instances::devices::Device;
use hoist_model::{InstanceUid, Slot, Template};
use hoist_runtime::seccomp::CompileError;
use oci_spec::runtime::{Root, Spec};

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
    /// Its profile of system calls isn't valid OCI.
    #[error("the seccomp profile can't be written as an OCI specification")]
    Profile(#[source] serde_json::Error),
    /// A capability that isn't known.
    #[error("capability {0:?} is not known")]
    Capability(String),
    /// A limit that isn't known.
    #[error("ulimit {0:?} is not known")]
    Ulimit(String),
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
    let capabilities = process::granted(input.template)?;
    let mut linux = linux::linux(input);
    linux.set_seccomp(seccomp::seccomp(&service.seccomp, service.privileged, capabilities)?);
    let mut spec = empty(input.hostname, service.read_only);
    spec.set_domainname(Some(service.domainname.clone().unwrap_or_default()))
        .set_annotations(Some(service.annotations.clone().into_iter().collect()))
        .set_process(Some(process(&process_input)?))
        .set_mounts(Some(mounts::mounts(input)?))
        .set_linux(Some(linux));
    Ok(spec)
}

/// A specification with nothing in it. (The type's own default is a container of its makers' choosing.)
pub(crate) fn empty(hostname: &str, read_only: bool) -> Spec {
    let mut root = Root::default();
    root.set_path("rootfs".into()).set_readonly(Some(read_only));
    let mut spec = Spec::default();
    spec.set_version("1.2.0".to_owned())
        .set_root(Some(root))
        .set_hostname(Some(hostname.to_owned()))
        .set_annotations(None)
        .set_process(None)
        .set_mounts(None)
        .set_linux(None);
    spec
}
