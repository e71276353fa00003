//! Frames made by hand, and a tap that sends and sees them.

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice, sockopt};

use crate::harness::PATIENCE;

pub(crate) type Mac = [u8; 6];

pub(crate) const EVERYBODY: Mac = [0xff; 6];
const ETH_P_ALL: u16 = 3;

/// An open link: what is sent leaves by it, and what comes in by it is seen.
pub(crate) struct Tap(OwnedFd);

impl Tap {
    /// Opens a link of the calling thread's namespace.
    pub(crate) fn open(link: &str) -> Self {
        let kind = (AddressFamily::PACKET, SocketType::RAW);
        let socket = rustix::net::socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, None).unwrap();
        let index = netdevice::name_to_index(&socket, link).unwrap();
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: ETH_P_ALL.to_be(),
            sll_ifindex: index.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: the address is one of the socket's family, and as long as is said.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
        assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
        let tick = Some(Duration::from_millis(100));
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, tick).unwrap();
        Self(socket)
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        rustix::net::send(&self.0, frame, SendFlags::empty()).unwrap();
    }

    /// Which of the texts were in frames until one with the last text came.
    pub(crate) fn seen_until(&self, texts: &[&str], last: &str) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        let mut frame = vec![0; 65536];
        while Instant::now() < end {
            let Ok((length, _)) = rustix::net::recv(&self.0, &mut frame[..], RecvFlags::empty()) else {
                continue;
            };
            let holds = |text: &str| frame[..length].windows(text.len()).any(|part| part == text.as_bytes());
            seen.extend(texts.iter().filter(|text| holds(text)).map(ToString::to_string));
            if holds(last) {
                return seen;
            }
        }
        panic!("never: {last}");
    }
}

/// The hardware address that follows from an IPv4 address.
pub(crate) fn mac(address: &str) -> Mac {
    let [a, b, c, d] = address.parse::<Ipv4Addr>().unwrap().octets();
    [2, 0x68, a, b, c, d]
}

/// The link-local address that follows from a hardware address.
pub(crate) fn link_local(mac: Mac) -> String {
    let [a, b, c, d, e, f] = mac.map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f).to_string()
}

pub(crate) fn ethernet(to: Mac, from: Mac, kind: u16, content: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &from, &kind.to_be_bytes(), content].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

/// An IPv4 or IPv6 packet to a group or a neighbour, in a frame to everybody.
pub(crate) fn packet(from_mac: Mac, from: &str, to: &str, protocol: u8, content: &[u8]) -> Vec<u8> {
    let (kind, header) = ip(from, to, protocol, content.len());
    ethernet(EVERYBODY, from_mac, kind, &[&header, content].concat())
}

/// The Ethernet type and an IP header.
pub(crate) fn ip(from: &str, to: &str, protocol: u8, length: usize) -> (u16, Vec<u8>) {
    match (from.parse().unwrap(), to.parse().unwrap()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = u16::try_from(20 + length).unwrap().to_be_bytes();
            let mut header = vec![0x45, 0, total[0], total[1], 0, 1, 0, 0, 255, protocol, 0, 0];
            header.extend(from.octets().into_iter().chain(to.octets()));
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum);
            (0x0800, header)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = u16::try_from(length).unwrap().to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, length[0], length[1], protocol, 255];
            header.extend(from.octets().into_iter().chain(to.octets()));
            (0x86dd, header)
        }
        _ => panic!("addresses of two families"),
    }
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

/// Without a checksum, which UDP over IPv4 may leave out.
pub(crate) fn udp(from: u16, to: u16, text: &str) -> Vec<u8> {
    let length = u16::try_from(8 + text.len()).unwrap();
    let mut datagram = [from, to, length, 0].map(u16::to_be_bytes).concat();
    datagram.extend(text.as_bytes());
    datagram
}

pub(crate) fn arp(operation: u8, mac: Mac, sender: &str, text: &str) -> Vec<u8> {
    let sender = sender.parse::<Ipv4Addr>().unwrap().octets();
    let mut message = vec![0, 1, 8, 0, 6, 4, 0, operation];
    message.extend(mac.into_iter().chain(sender).chain([0; 6]).chain(sender));
    message.extend(text.as_bytes());
    message
}

/// An ICMP message of a type: rest of the header, then a text.
pub(crate) fn icmp(kind: u8, text: &str) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// A neighbour solicitation (135) or advertisement (136).
pub(crate) fn neighbour(kind: u8, target: &str, text: &str) -> Vec<u8> {
    let target = target.parse::<Ipv6Addr>().unwrap().octets();
    [&[kind, 0, 0, 0, 0x20, 0, 0, 0], &target[..], text.as_bytes()].concat()
}
