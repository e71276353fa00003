//! Datagrams whose answers leave from the address that was asked: whoever asked takes no other.
//!
//! A socket on the wildcard address has datagrams of every local address, so each one's is read and given back
//! (`IP_PKTINFO`, ip(7); `IPV6_PKTINFO`, ipv6(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg};
use nix::sys::socket::{setsockopt, sockopt};

/// Has the kernel tell which address each datagram of the socket was sent to. To be called before the first arrives.
pub(crate) fn note_local_addresses(socket: &OwnedFd) -> rustix::io::Result<()> {
    let errno = |errno: nix::errno::Errno| rustix::io::Errno::from_raw_os_error(errno as i32);
    match rustix::net::sockopt::socket_domain(socket.as_fd())? {
        rustix::net::AddressFamily::INET => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
        _ => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
    }
    .map_err(errno)
}

/// A packet and the way it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) packet: Vec<u8>,
    pub(crate) path: Path,
}

/// What happens to a datagram that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// It stays where it is.
    Look,
    Off,
}

/// The two ends of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Path {
    pub(crate) peer: SocketAddr,
    pub(crate) local: IpAddr,
    /// The interface it came in on: needed to answer a link-local address.
    interface: u32,
}

#[cfg(test)]
impl Path {
    pub(crate) fn between(peer: SocketAddr, local: IpAddr) -> Self {
        Self { peer, local, interface: 0 }
    }
}

/// Reads the first datagram that waits, of which bytes behind the `longest` are cut. `None`: there is none, or none that
/// can be answered.
pub(crate) fn receive(socket: &impl AsRawFd, take: Take, longest: usize) -> Option<Datagram> {
    let mut flags = MsgFlags::MSG_DONTWAIT;
    flags.set(MsgFlags::MSG_PEEK, take == Take::Look);
    let mut packet = vec![0; longest];
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
    packet.truncate(length);
    Some(Datagram { packet, path: Path { peer, local, interface } })
}

/// Sends `packet` back along `path`.
pub(crate) fn send(socket: &impl AsRawFd, packet: &[u8], path: &Path) -> io::Result<()> {
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
