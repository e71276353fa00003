//! The sandbox a container is launched into: its network namespace.
//!
//! Made before the launch, because the fabric wires it meanwhile, and because making one is the slowest
//! step of all: it need not be on the way of the program.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::Pid;
use rustix::thread::{UnshareFlags, unshare_unsafe};

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
/// On a thread that ends with the call: unshare(2) moves the calling thread, and a thread of a pool must
/// stay where it is.
///
/// # Errors
///
/// Without `CAP_SYS_ADMIN`, or when the kernel has no room for another one.
pub fn network_namespace() -> Result<OwnedFd, SandboxError> {
    let failed = |doing| move |source| SandboxError { doing, source };
    let worker = thread::Builder::new().name("netns".to_owned()).spawn(move || {
        // SAFETY: FILES is not unshared: descriptors stay shared with the other threads.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
            .map_err(|errno| SandboxError { doing: "make a network namespace", source: errno.into() })?;
        bring_loopback_up().map_err(failed("bring the loopback link up"))?;
        File::open("/proc/thread-self/ns/net").map_err(failed("open the new network namespace"))
    });
    let worker = worker.map_err(failed("start a thread"))?;
    let made =
        worker.join().unwrap_or_else(|_| Err(failed("make a network namespace")(io::Error::other("panic"))));
    made.map(OwnedFd::from)
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
