//! Reserving host ports.
//!
//! A published port is translated before any socket sees the packet, so the kernel wouldn't mind a
//! second owner. The reservation is a real socket: nobody else can take the port while it is open, and
//! a port that somebody has can't be reserved.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::spec::{Protocol, PublishedPort};

/// Why a port couldn't be reserved.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// Another process has it.
    #[error("{protocol} port {port} on {address} is in use by another process", address = Address(*address))]
    InUse {
        /// The transport protocol.
        protocol: Protocol,
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// The address isn't one of this host.
    #[error("{address} isn't an address of this host, so {protocol} port {port} can't be published on it")]
    NoAddress {
        /// The transport protocol.
        protocol: Protocol,
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// The kernel refused it otherwise.
    #[error("{protocol} port {port} on {address} can't be reserved", address = Address(*address))]
    Kernel {
        /// The transport protocol.
        protocol: Protocol,
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Why a descriptor is not a reservation.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It isn't a socket of the expected kind.
    #[error("the descriptor is not a {protocol} socket")]
    Kind {
        /// What was expected.
        protocol: Protocol,
    },
    /// It is bound elsewhere.
    #[error("the socket is bound to {found}, not to {wanted}")]
    Elsewhere {
        /// Where it is bound.
        found: SocketAddr,
        /// Where it should be.
        wanted: SocketAddr,
    },
    /// The kernel wouldn't tell.
    #[error("the descriptor can't be examined")]
    Kernel(#[source] io::Error),
}

impl PublishedPort {
    /// The addresses to reserve. A port on every address is reserved for both families; a host without
    /// IPv6 has only the first, see [`reserve`].
    pub fn addresses(&self) -> Vec<IpAddr> {
        match self.host_ip {
            Some(address) => vec![address],
            None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        }
    }
}

/// Takes a port of the calling thread's namespace, and holds it as long as the descriptor or a duplicate
/// of it is open, in whatever process. `Ok(None)` when the host has no IPv6 and all of it was asked for.
///
/// What reaches the socket itself, because no rule translates it yet or any more, is dropped: a
/// client tries again, where an accepted connection would hang. [`crate::Splicer`] lifts that.
pub fn reserve(address: IpAddr, port: u16, protocol: Protocol) -> Result<Option<OwnedFd>, ReserveError> {
    let answer = bind(SocketAddr::new(address, port), protocol);
    answer.map(Some).or_else(|source| match source.raw_os_error() {
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) if address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            Ok(None)
        }
        Some(libc::EADDRINUSE) => Err(ReserveError::InUse { protocol, address, port }),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT) => {
            Err(ReserveError::NoAddress { protocol, address, port })
        }
        _ => Err(ReserveError::Kernel { protocol, address, port, source }),
    })
}

/// Checks that a descriptor kept by another process is the reservation of a port.
pub fn adopt(socket: OwnedFd, address: IpAddr, port: u16, protocol: Protocol) -> Result<OwnedFd, AdoptError> {
    let kind = sockopt::socket_type(&socket).map_err(|_| AdoptError::Kind { protocol })?;
    if kind != socket_type(protocol) {
        return Err(AdoptError::Kind { protocol });
    }
    let found = rustix::net::getsockname(&socket).map_err(|errno| AdoptError::Kernel(errno.into()))?;
    let found = SocketAddr::try_from(found).map_err(|_| AdoptError::Kind { protocol })?;
    let wanted = SocketAddr::new(address, port);
    if (found.ip(), found.port()) != (wanted.ip(), wanted.port()) {
        return Err(AdoptError::Elsewhere { found, wanted });
    }
    Ok(socket)
}

fn socket_type(protocol: Protocol) -> SocketType {
    match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    }
}

fn bind(address: SocketAddr, protocol: Protocol) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, socket_type(protocol), SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        // Without it, connections of the last minute that ended on this port would keep it from us. It
        // admits nobody beside us: of two listeners on one port the kernel still refuses the second. For
        // UDP it would admit another owner.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    drop_all(socket.as_fd())?;
    rustix::net::bind(&socket, &address)?;
    if protocol == Protocol::Tcp {
        rustix::net::listen(&socket, 128)?;
    }
    Ok(socket)
}

/// Attaches a filter that lets nothing in.
fn drop_all(socket: BorrowedFd<'_>) -> io::Result<()> {
    // BPF_RET | BPF_K with 0: keep no byte of any packet (linux/filter.h).
    let mut program = [libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 }];
    let filter = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
    // SAFETY: the option's value is a `sock_fprog` that points at one instruction; the kernel copies
    // both before the call returns.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes the filter away again, so that connections are accepted.
pub(crate) fn admit(socket: BorrowedFd<'_>) -> io::Result<()> {
    let unused: libc::c_int = 0;
    // SAFETY: the option takes no value; the kernel only checks that an integer could be read.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_DETACH_FILTER,
            (&raw const unused).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    let error = io::Error::last_os_error();
    // ENOENT: there was none, as on a reservation that was spliced before.
    if answer == 0 || error.raw_os_error() == Some(libc::ENOENT) { Ok(()) } else { Err(error) }
}

/// An address in a sentence.
struct Address(IpAddr);

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => f.write_str("every IPv4 address"),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => f.write_str("every IPv6 address"),
            address => address.fmt(f),
        }
    }
}
