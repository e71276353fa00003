//! What the sockets of a network namespace do: where programs listen for others, and who is connected to them.
//!
//! Asked of the kernel by sock_diag(7), never of the programs. A look costs the kernel a walk over its table of
//! listening sockets, or of connections, and nobody else anything.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};

use crate::netlink::{KernelError, Request, Socket};
use crate::netns::{self, NetnsError};
use crate::spec::Protocol;

/// `NETLINK_SOCK_DIAG`, linux/netlink.h.
const SOCK_DIAG: isize = 4;
/// `SOCK_DIAG_BY_FAMILY`, linux/sock_diag.h.
const BY_FAMILY: u16 = 20;
/// Length of `struct inet_diag_req_v2`, linux/inet_diag.h.
const REQUEST: usize = 56;
const FAMILIES: [i32; 2] = [libc::AF_INET, libc::AF_INET6];

/// States of a connection by number, include/net/tcp_states.h.
mod state {
    pub(super) const ESTABLISHED: u8 = 1;
    pub(super) const SYN_RECV: u8 = 3;
    pub(super) const FIN_WAIT1: u8 = 4;
    pub(super) const CLOSE: u8 = 7;
    pub(super) const CLOSE_WAIT: u8 = 8;
    pub(super) const LAST_ACK: u8 = 9;
    pub(super) const LISTEN: u8 = 10;
    pub(super) const CLOSING: u8 = 11;
    pub(super) const NEW_SYN_RECV: u8 = 12;
}

/// Connections over which something may still come or go; one that was closed here counts until all that was sent has
/// arrived, since the rest goes with the namespace.
const OPEN: [u8; 7] = [
    state::ESTABLISHED,
    state::SYN_RECV,
    state::NEW_SYN_RECV,
    state::CLOSE_WAIT,
    state::FIN_WAIT1,
    state::LAST_ACK,
    state::CLOSING,
];

/// Why the sockets of a namespace can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// The namespace couldn't be entered.
    #[error("can't enter the network namespace")]
    Enter(#[from] NetnsError),
    /// A socket to the kernel couldn't be opened.
    #[error("can't open a socket to the kernel")]
    Open(#[source] io::Error),
}

/// A way to the sockets of one network namespace.
#[derive(Debug)]
pub struct Sockets {
    socket: Socket,
}

impl Sockets {
    /// Opens the way. The namespace may go meanwhile; nothing is found from then on.
    ///
    /// # Errors
    /// See [`SocketsError`].
    pub fn of(netns: BorrowedFd<'_>) -> Result<Self, SocketsError> {
        let opened = netns::enter(netns, || Socket::open_small(SOCK_DIAG))?;
        Ok(Self { socket: opened.map_err(SocketsError::Open)? })
    }

    /// Ports on which somebody from outside can reach a program: listening TCP sockets and unconnected UDP sockets, those
    /// on loopback addresses left out.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn listeners(&mut self) -> Result<BTreeSet<(u16, Protocol)>, KernelError> {
        let mut found = BTreeSet::new();
        let kinds = [(Protocol::Tcp, state::LISTEN), (Protocol::Udp, state::CLOSE)];
        for (protocol, state) in kinds {
            for seen in self.list(protocol, &[state])? {
                if seen.port != 0 && !seen.here.is_loopback() {
                    found.insert((seen.port, protocol));
                }
            }
        }
        Ok(found)
    }

    /// How many open TCP connections from outside lead to one of these ports.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn connections(&mut self, ports: &BTreeSet<u16>) -> Result<usize, KernelError> {
        let open = self.list(Protocol::Tcp, &OPEN)?;
        Ok(open.iter().filter(|seen| ports.contains(&seen.port) && !seen.there.is_loopback()).count())
    }

    fn list(&mut self, protocol: Protocol, states: &[u8]) -> Result<Vec<Seen>, KernelError> {
        let mut found = Vec::new();
        for family in FAMILIES {
            let ask = Diag(request(family, protocol, states));
            let answers = self.socket.dump(Request::new("list sockets", ask, 0))?;
            found.extend(answers.iter().filter_map(|answer| Seen::read(&answer.0)));
        }
        Ok(found)
    }
}

fn request(family: i32, protocol: Protocol, states: &[u8]) -> Vec<u8> {
    let number = match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP,
        Protocol::Udp => libc::IPPROTO_UDP,
    };
    let mask = states.iter().fold(0u32, |mask, state| mask | (1 << state));
    let mut request = vec![0; REQUEST];
    request[0] = u8::try_from(family).unwrap_or(0);
    request[1] = u8::try_from(number).unwrap_or(0);
    request[4..8].copy_from_slice(&mask.to_ne_bytes());
    request
}

/// One socket: the part of `struct inet_diag_msg` that matters here.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    port: u16,
    here: IpAddr,
    there: IpAddr,
}

impl Seen {
    fn read(answer: &[u8]) -> Option<Self> {
        let family = i32::from(*answer.first()?);
        let port = u16::from_be_bytes(answer.get(4..6)?.try_into().ok()?);
        Some(Self {
            port,
            here: address(family, answer.get(8..24)?)?,
            there: address(family, answer.get(24..40)?)?,
        })
    }
}

/// A socket for both families has IPv4 addresses in IPv6 form.
fn address(family: i32, bytes: &[u8]) -> Option<IpAddr> {
    if family == libc::AF_INET {
        let four: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
        return Some(Ipv4Addr::from(four).into());
    }
    let sixteen: [u8; 16] = bytes.try_into().ok()?;
    Some(IpAddr::from(Ipv6Addr::from(sixteen)).to_canonical())
}

/// A message of the family as it is.
#[derive(Debug, Clone)]
struct Diag(Vec<u8>);

impl NetlinkSerializable for Diag {
    fn message_type(&self) -> u16 {
        BY_FAMILY
    }

    fn buffer_len(&self) -> usize {
        self.0.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[..self.0.len()].copy_from_slice(&self.0);
    }
}

impl NetlinkDeserializable for Diag {
    type Error = Infallible;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self(payload.to_vec()))
    }
}
