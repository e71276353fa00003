//! Connection tracking: deleting flows that would go on leading where nothing is any more.
//!
//! A flow's original tuple is what the client sent; its reply tuple is what answers look like before
//! they are translated back, so its source is who really answers.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::NLM_F_ACK;
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol as TrackedProtocol, Tuple,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner};

use crate::family::Family;
use crate::netlink::{KernelError, Request, Socket};
use crate::nft::protocol_family;
use crate::op::Flows;
use crate::side::Side;

/// `CTA_ID`: tells a flow from a later one with the same tuple.
const ID: u16 = 12;

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

    fn family(&self) -> Family {
        match self {
            Self::UdpToBackend { service, .. } | Self::UdpToNobody { service } => Family::of(*service),
            Self::UdpToPort { at, .. } => at.family,
            Self::Instance { address } => Family::of(*address),
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

/// Deletes the flows of one side that `flows` contain; returns how many there were.
pub(crate) fn forget(
    socket: &mut Socket,
    flows: &Flows,
    local: &BTreeSet<IpAddr>,
) -> Result<usize, KernelError> {
    let header = || NetfilterHeader::new(protocol_family(flows.family()), 0, 0);
    let get = NetfilterMessage::new(header(), ConntrackMessage::Get(Vec::new()));
    let tracked = socket.dump(Request::new("list tracked flows", get, 0))?;
    let mut count = 0;
    for message in &tracked {
        let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = &message.inner else {
            continue;
        };
        if !read(attributes).is_some_and(|flow| flows.contain(&flow, local)) {
            continue;
        }
        let delete = NetfilterMessage::new(header(), ConntrackMessage::Delete(identity(attributes)));
        match socket.request(Request::new("delete a tracked flow", delete, NLM_F_ACK)) {
            // It ended by itself meanwhile.
            Err(error) if error.is(libc::ENOENT) => {}
            Err(error) => return Err(error),
            Ok(_) => count += 1,
        }
    }
    Ok(count)
}

fn identity(attributes: &[ConntrackAttribute]) -> Vec<ConntrackAttribute> {
    use netlink_packet_core::Nla;
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
