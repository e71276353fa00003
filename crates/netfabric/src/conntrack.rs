//! Connection tracking: deleting flows that would go on leading where nothing is any more.
//!
//! A flow's original tuple is what the client sent; its reply tuple is what answers look like before
//! they are translated back, so its source is who really answers.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{DefaultNla, Nla};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol as TrackedProtocol, Tuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};

use crate::entry::Entry;
use crate::family::Family;
use crate::netlink::{KernelError, Request, Socket};
use crate::observed::SideObserved;
use crate::op::Flows;
use crate::side::Side;
use crate::spec::Protocol;

/// `CTA_ID`: tells a flow from a later one with the same tuple.
const ID: u16 = 12;
/// `IPCTNL_MSG_CT_GET_STATS`, which answers for the socket's namespace, and `CTA_STATS_GLOBAL_ENTRIES`.
const GET_STATS: u8 = 5;
const GLOBAL_ENTRIES: u16 = 1;

/// What matters of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) udp: bool,
    /// Who began it.
    pub(crate) from: IpAddr,
    /// Whom it addressed.
    pub(crate) to: SocketAddr,
    /// Who answers.
    pub(crate) answered_by: SocketAddr,
}

impl Flow {
    fn translated(&self) -> bool {
        self.to.ip() != self.answered_by.ip()
    }
}

impl Flows {
    /// The sides on which these flows are.
    pub(crate) fn sides(&self) -> &'static [Side] {
        match self {
            Self::UdpToBackend { .. } | Self::UdpToNobody { .. } => &[Side::Fabric],
            Self::UdpToPort { .. } => &[Side::Host],
            Self::Instance { .. } => &[Side::Fabric, Side::Host],
        }
    }

    /// Whether a flow is one of these. `local` are the addresses of the side's own.
    pub(crate) fn contain(&self, flow: &Flow, local: &BTreeSet<IpAddr>) -> bool {
        match self {
            Self::UdpToBackend { service, backend } => {
                flow.udp && flow.to.ip() == *service && flow.answered_by.ip() == *backend
            }
            Self::UdpToNobody { service } => flow.udp && flow.to.ip() == *service && !flow.translated(),
            Self::UdpToPort { at, was } => {
                let addressed = at.address.map_or(local.contains(&flow.to.ip()), |ip| ip == flow.to.ip());
                let led = was.map_or(!flow.translated(), |was| was == flow.answered_by);
                flow.udp && flow.to.port() == at.port && addressed && led
            }
            Self::Instance { address } => flow.answered_by.ip() == *address || flow.from == *address,
        }
    }
}

/// Deletes the tracked flows of one namespace that `doomed` picks.
///
/// A listing goes through the kernel's whole table, which all namespaces share and which may have
/// hundreds of thousands of rows: some 10 ms. So there is one for everything, and none when the
/// namespace tracks nothing.
pub(crate) fn forget(socket: &mut Socket, doomed: impl Fn(&Flow) -> bool) -> Result<(), KernelError> {
    if tracked(socket)? == 0 {
        return Ok(());
    }
    let get = message(NetfilterProtoFamily::Unspec, ConntrackMessage::Get(Vec::new()));
    let listed = socket.dump(Request::new("list tracked flows", get, 0))?;
    for found in &listed {
        let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = &found.inner else {
            continue;
        };
        if read(attributes).is_some_and(|flow| doomed(&flow)) {
            delete(socket, found.header.family, attributes)?;
        }
    }
    Ok(())
}

/// Whether a UDP flow leads elsewhere than the rules of its side lead now: what a process that died
/// between changing rules and forgetting flows leaves behind.
pub(crate) fn is_stray(flow: &Flow, side: &SideObserved, local: &BTreeSet<IpAddr>) -> bool {
    let backends = side.services.get(&flow.to.ip());
    let strays = backends.is_some_and(|slots| !slots.backends().contains(&flow.answered_by.ip()));
    let misled = side.entries.iter().any(|entry| match entry {
        Entry::Port { at, target } => {
            let addressed = at.address.map_or(local.contains(&flow.to.ip()), |ip| ip == flow.to.ip());
            let udp = at.protocol == Protocol::Udp && at.family == Family::of(flow.to.ip());
            udp && at.port == flow.to.port() && addressed && flow.answered_by != *target
        }
        _ => false,
    });
    flow.udp && (strays || misled)
}

fn delete(
    socket: &mut Socket,
    family: NetfilterProtoFamily,
    attributes: &[ConntrackAttribute],
) -> Result<(), KernelError> {
    let delete = message(family, ConntrackMessage::Delete(identity(attributes)));
    match socket.request(Request::new("delete a tracked flow", delete, 0)) {
        // ENOENT: it ended by itself meanwhile.
        Err(error) if !error.is(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

/// How many flows the namespace tracks.
fn tracked(socket: &mut Socket) -> Result<u32, KernelError> {
    let get = ConntrackMessage::Other { message_type: GET_STATS, attributes: Vec::new() };
    let request = Request::new("count tracked flows", message(NetfilterProtoFamily::Unspec, get), 0);
    let count = socket.request(request)?.into_iter().find_map(|answer| match answer.inner {
        NetfilterMessageInner::Conntrack(ConntrackMessage::Other { attributes, .. }) => {
            read_count(&attributes)
        }
        _ => None,
    });
    // A kernel that doesn't say may have any number.
    Ok(count.unwrap_or(u32::MAX))
}

fn read_count(attributes: &[DefaultNla]) -> Option<u32> {
    let entries = attributes.iter().find(|attribute| attribute.kind() == GLOBAL_ENTRIES)?;
    let mut value = vec![0; entries.value_len()];
    entries.emit_value(&mut value);
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

fn message(family: NetfilterProtoFamily, inner: ConntrackMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), inner)
}

fn identity(attributes: &[ConntrackAttribute]) -> Vec<ConntrackAttribute> {
    let names = |attribute: &&ConntrackAttribute| match attribute {
        ConntrackAttribute::CtaTupleOrig(_) => true,
        ConntrackAttribute::Other(other) => other.kind() == ID,
        _ => false,
    };
    attributes.iter().filter(names).cloned().collect()
}

/// One direction of a flow.
#[derive(Default)]
struct Direction {
    source: Option<IpAddr>,
    source_port: u16,
    destination: Option<IpAddr>,
    destination_port: u16,
    udp: bool,
}

fn read(attributes: &[ConntrackAttribute]) -> Option<Flow> {
    let mut original = Direction::default();
    let mut reply = Direction::default();
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => original = direction(tuple),
            ConntrackAttribute::CtaTupleReply(tuple) => reply = direction(tuple),
            _ => {}
        }
    }
    Some(Flow {
        udp: original.udp,
        from: original.source?,
        to: SocketAddr::new(original.destination?, original.destination_port),
        answered_by: SocketAddr::new(reply.source?, reply.source_port),
    })
}

fn direction(tuple: &[Tuple]) -> Direction {
    let mut direction = Direction::default();
    for part in tuple {
        match part {
            Tuple::Ip(addresses) => {
                for address in addresses {
                    match address {
                        IPTuple::SourceAddress(address) => direction.source = Some(*address),
                        IPTuple::DestinationAddress(address) => direction.destination = Some(*address),
                        _ => {}
                    }
                }
            }
            Tuple::Proto(fields) => {
                for field in fields {
                    match field {
                        ProtoTuple::Protocol(protocol) => direction.udp = *protocol == TrackedProtocol::Udp,
                        ProtoTuple::SourcePort(port) => direction.source_port = *port,
                        ProtoTuple::DestinationPort(port) => direction.destination_port = *port,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    direction
}
