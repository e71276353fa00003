//! The sockets questions arrive on: bound once inside the fabric namespace, then handed from process
//! to process.
//!
//! Two per family, each on the wildcard address, so that a network added later needs no socket of its
//! own. How an answer leaves from the address that was asked is `crate::datagram`'s matter.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use crate::datagram;
use crate::netns::{self, NetnsError};

const PORT: u16 = 53;

/// Room for the questions that arrive while no server runs. The kernel charges about 768 bytes for
/// each; its default would drop them after some 270.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Connections that wait while no server runs.
const BACKLOG: i32 = 256;

/// The server's listening sockets.
#[derive(Debug)]
pub struct DnsSockets {
    pub(super) udp: Vec<UdpSocket>,
    pub(super) tcp: Vec<TcpListener>,
}

/// Why there are no sockets.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("the fabric's network namespace can't be used")]
    Enter(#[from] NetnsError),
    #[error("can't open the name server's socket on {address}")]
    Open { address: SocketAddr, source: io::Error },
    #[error("a descriptor that was handed over as a name server socket is not one")]
    Foreign(#[source] io::Error),
    #[error("no name server socket was handed over")]
    Missing,
}

/// Binds the sockets inside the network namespace `netns`. A host without IPv6 gets those of IPv4 alone.
pub fn bind_sockets(netns: BorrowedFd<'_>) -> Result<DnsSockets, BindError> {
    netns::enter(netns, DnsSockets::bind_here)?
}

impl DnsSockets {
    fn bind_here() -> Result<Self, BindError> {
        let mut sockets = Self { udp: Vec::new(), tcp: Vec::new() };
        for ip in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
            let address = SocketAddr::new(ip, PORT);
            match (udp_socket(address), tcp_listener(address)) {
                (Ok(udp), Ok(tcp)) => {
                    sockets.udp.push(udp.into());
                    sockets.tcp.push(tcp.into());
                }
                (Err(rustix::io::Errno::AFNOSUPPORT), _) if ip.is_ipv6() => {}
                (Err(errno), _) | (_, Err(errno)) => {
                    return Err(BindError::Open { address, source: errno.into() });
                }
            }
        }
        Ok(sockets)
    }

    /// Takes sockets handed over by another process, in any order.
    pub fn from_descriptors(descriptors: impl IntoIterator<Item = OwnedFd>) -> Result<Self, BindError> {
        let mut sockets = Self { udp: Vec::new(), tcp: Vec::new() };
        for fd in descriptors {
            let kind = rustix::net::sockopt::socket_type(&fd).map_err(|e| BindError::Foreign(e.into()))?;
            match kind {
                SocketType::DGRAM => sockets.udp.push(fd.into()),
                SocketType::STREAM => sockets.tcp.push(fd.into()),
                _ => return Err(BindError::Foreign(io::ErrorKind::InvalidInput.into())),
            }
        }
        if sockets.udp.is_empty() { Err(BindError::Missing) } else { Ok(sockets) }
    }

    /// The descriptors, to be duplicated and handed on.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.udp.iter().map(AsFd::as_fd).chain(self.tcp.iter().map(AsFd::as_fd))
    }

    /// Gives up the sockets for their descriptors.
    pub fn into_descriptors(self) -> impl Iterator<Item = OwnedFd> {
        self.udp.into_iter().map(OwnedFd::from).chain(self.tcp.into_iter().map(OwnedFd::from))
    }
}

fn open(address: SocketAddr, kind: SocketType) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&fd, true)?;
    }
    Ok(fd)
}

fn udp_socket(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let fd = open(address, SocketType::DGRAM)?;
    datagram::note_local_addresses(&fd)?;
    // Beyond the host's limit where we may, up to it where we may not.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&fd, RECEIVE_BUFFER).is_err() {
        rustix::net::sockopt::set_socket_recv_buffer_size(&fd, RECEIVE_BUFFER)?;
    }
    bind(&fd, &address)?;
    Ok(fd)
}

fn tcp_listener(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let fd = open(address, SocketType::STREAM)?;
    // Connections of an earlier server that are still being closed must not keep the port.
    rustix::net::sockopt::set_socket_reuseaddr(&fd, true)?;
    bind(&fd, &address)?;
    listen(&fd, BACKLOG)?;
    Ok(fd)
}
