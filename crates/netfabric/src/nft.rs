//! nf_tables over netlink: the few shapes of tables, rules and elements that the fabric needs.
//!
//! This module knows the kernel's encoding (linux/netfilter/nf_tables.h) and nothing of what the rules
//! are for; `rules` says that.

use std::io;

use netlink_packet_netfilter::nftables::NfTablesMessage;
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use crate::family::{Family, TableFamily};
use crate::netlink::{KernelError, Request, Socket};

pub(crate) mod dump;
pub(crate) mod element;
pub(crate) mod expr;
pub(crate) mod table;

/// `NETLINK_NETFILTER`.
const PROTOCOL: isize = 12;
/// The nf_tables subsystem's number, which the opening message of a transaction carries.
const SUBSYSTEM: u16 = 10;

/// Opens a socket to netfilter in the namespace of the calling thread.
pub(crate) fn open() -> io::Result<Socket> {
    Socket::open(PROTOCOL)
}

/// Carries out all requests, or none.
pub(crate) fn commit(
    socket: &mut Socket,
    requests: Vec<Request<NetfilterMessage>>,
) -> Result<(), KernelError> {
    let control = |message| {
        NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM), message)
    };
    socket.transaction(control(ControlMessage::BatchBegin), requests, control(ControlMessage::BatchEnd))
}

/// Puts the header for a family before a message.
pub(crate) fn message(family: NetfilterProtoFamily, inner: NfTablesMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), inner)
}

/// The family's number in messages.
pub(crate) fn protocol_family(family: TableFamily) -> NetfilterProtoFamily {
    match family {
        TableFamily::Ip(Family::V4) => NetfilterProtoFamily::IPv4,
        TableFamily::Ip(Family::V6) => NetfilterProtoFamily::IPv6,
        TableFamily::Bridge => NetfilterProtoFamily::Bridge,
    }
}

/// The prefix under which `nft` knows a family.
pub(crate) fn family_name(family: NetfilterProtoFamily) -> &'static str {
    match family {
        NetfilterProtoFamily::IPv4 => "ip",
        NetfilterProtoFamily::IPv6 => "ip6",
        NetfilterProtoFamily::Inet => "inet",
        NetfilterProtoFamily::ARP => "arp",
        NetfilterProtoFamily::Bridge => "bridge",
        NetfilterProtoFamily::NetDev => "netdev",
        _ => "unknown",
    }
}
