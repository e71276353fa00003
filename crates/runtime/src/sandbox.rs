//! The sandbox a container is launched into: its network namespace.
//!
//! Made before the launch, because the fabric wires it meanwhile, and because making one is the slowest
//! step of all: it need not be on the way of the program.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// Why a namespace could not be made or opened.
#[derive(Debug, thiserror::Error)]
#[error("can't {doing}")]
pub struct SandboxError {
    /// What was being done.
    pub doing: &'static str,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

/// Makes a network namespace with its loopback link up. It lives as long as a descriptor or a process
/// holds it.
///
/// The calling thread is in it for a moment, and back when this returns.
///
/// # Errors
///
/// Without `CAP_SYS_ADMIN`, or when the kernel has no room for another one.
///
/// # Panics
///
/// When the thread can't go back to where it was, which the kernel always allows to whom it let leave: everything that
/// the thread did from then on would be done in the wrong place.
pub fn network_namespace() -> Result<OwnedFd, SandboxError> {
    let failed = |doing| move |source| SandboxError { doing, source };
    let home = own().map_err(failed("open the own network namespace"))?;
    // SAFETY: FILES is not unshared: descriptors stay shared with the other threads.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
        .map_err(|errno| failed("make a network namespace")(errno.into()))?;
    let made = bring_loopback_up()
        .map_err(failed("bring the loopback link up"))
        .and_then(|()| own().map_err(failed("open the new network namespace")));
    let back = move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network));
    assert!(back.is_ok(), "can't go back to the own network namespace: {back:?}");
    made
}

/// The network namespace that this thread is in.
fn own() -> io::Result<OwnedFd> {
    File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
}

/// By ioctl (netdevice(7)): one flag of one link needs no netlink.
fn bring_loopback_up() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: ifreq is integers and bytes; all zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Opens the network namespace that a process is in.
///
/// By id, which the caller must know to be the right process's still: by a pidfd of it, for example.
///
/// # Errors
///
/// When the process has gone.
pub fn network_namespace_of(pid: Pid) -> Result<OwnedFd, SandboxError> {
    let path = format!("/proc/{}/ns/net", pid.as_raw_nonzero());
    let doing = "open a process's network namespace";
    File::open(path).map(Into::into).map_err(|source| SandboxError { doing, source })
}
