//! The sockets questions arrive on: bound once inside the fabric namespace, then handed from process
//! to process.
//!
//! Two per family, each on the wildcard address, so that a network added later needs no socket of its
//! own. An answer must leave from the address that was asked (a resolver takes no other), so each
//! datagram's local address is read and given back (`IP_PKTINFO`, ip(7); `IPV6_PKTINFO`, ipv6(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const PORT: u16 = 53;

/// Room for the questions that arrive while no server runs. The kernel charges about 768 bytes for
/// each; its default would drop them after some 270.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Connections that wait while no server runs.
const BACKLOG: i32 = 256;

/// Longer than any question; what is longer is cut by the kernel and then found malformed.
const QUESTION_MAX: usize = 4096;

/// The server's listening sockets.
#[derive(Debug)]
pub struct DnsSockets {
    pub(super) udp: Vec<UdpSocket>,
    pub(super) tcp: Vec<TcpListener>,
}

/// Why there are no sockets.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("can't enter the fabric's network namespace")]
    Enter(#[source] io::Error),
    #[error("can't open the name server's socket on {address}")]
    Open { address: SocketAddr, source: io::Error },
    #[error("a descriptor handed over as a name server socket is none")]
    Foreign(#[source] io::Error),
    #[error("no name server socket was handed over")]
    Missing,
}

/// Binds the sockets inside the network namespace `netns`, from a thread that ends with it. A host
/// without IPv6 gets those of IPv4 alone.
pub fn bind_sockets(netns: BorrowedFd<'_>) -> Result<DnsSockets, BindError> {
    let bind_there = || {
        move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))
            .map_err(|errno| BindError::Enter(errno.into()))?;
        DnsSockets::bind_here()
    };
    std::thread::scope(|scope| scope.spawn(bind_there).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
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
    if address.is_ipv4() {
        setsockopt(&fd, sockopt::Ipv4PacketInfo, &true).map_err(errno)?;
    } else {
        setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true).map_err(errno)?;
    }
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

fn errno(errno: nix::errno::Errno) -> rustix::io::Errno {
    rustix::io::Errno::from_raw_os_error(errno as i32)
}

/// A packet and the way it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    pub(super) packet: Vec<u8>,
    pub(super) path: Path,
}

/// What happens to a datagram that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// It stays where it is.
    Look,
    Off,
}

/// The two ends of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) peer: SocketAddr,
    pub(super) local: IpAddr,
    /// The interface it came in on: needed to answer a link-local address.
    interface: u32,
}

#[cfg(test)]
impl Path {
    pub(super) fn between(peer: SocketAddr, local: IpAddr) -> Self {
        Self { peer, local, interface: 0 }
    }
}

/// Reads the first datagram that waits. `None`: there is none, or none that can be answered.
pub(super) fn receive(socket: &UdpSocket, take: Take) -> Option<Datagram> {
    let mut flags = MsgFlags::MSG_DONTWAIT;
    flags.set(MsgFlags::MSG_PEEK, take == Take::Look);
    let mut packet = [0; QUESTION_MAX];
    let mut control = nix::cmsg_space!(libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(&mut packet)];
    let fd = socket.as_raw_fd();
    let received = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), flags).ok()?;
    let length = received.bytes;
    let peer = socket_address(received.address.as_ref()?)?;
    let (local, interface) = received.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            let local = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
            Some((IpAddr::V4(local), info.ipi_ifindex.cast_unsigned()))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some((IpAddr::V6(info.ipi6_addr.s6_addr.into()), info.ipi6_ifindex))
        }
        _ => None,
    })?;
    Some(Datagram { packet: packet[..length].to_vec(), path: Path { peer, local, interface } })
}

/// Sends `packet` back along `path`.
pub(super) fn send(socket: &UdpSocket, packet: &[u8], path: &Path) -> io::Result<()> {
    let parts = [IoSlice::new(packet)];
    let to = SockaddrStorage::from(path.peer);
    let fd = socket.as_raw_fd();
    match path.local {
        IpAddr::V4(local) => {
            // The route decides on the interface; the address alone is given.
            let source = libc::in_addr { s_addr: u32::from(local).to_be() };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: source };
            let control = [ControlMessage::Ipv4PacketInfo(&info)];
            sendmsg(fd, &parts, &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
        }
        IpAddr::V6(local) => {
            let interface = if local.is_unicast_link_local() { path.interface } else { 0 };
            let source = libc::in6_addr { s6_addr: local.octets() };
            let info = libc::in6_pktinfo { ipi6_addr: source, ipi6_ifindex: interface };
            let control = [ControlMessage::Ipv6PacketInfo(&info)];
            sendmsg(fd, &parts, &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
        }
    }
    Ok(())
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}
