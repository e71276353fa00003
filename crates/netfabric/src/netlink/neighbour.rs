//! Neighbours that don't change by themselves.
//!
//! The kernel neither asks for them nor believes what is told of them, and they don't count towards the machine's
//! limit of neighbours (`gc_thresh3`), which one network of a thousand instances would reach.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::route::address_family;
use super::{KernelError, Request, Socket};
use crate::family::Family;

/// A permanent neighbour as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Index of its link.
    pub(crate) link: u32,
    pub(crate) address: IpAddr,
    pub(crate) mac: [u8; 6],
}

/// Adds a permanent neighbour, or makes one of what the kernel has found out.
pub(crate) fn add(link: u32, address: IpAddr, mac: [u8; 6]) -> Request<RouteNetlinkMessage> {
    let mut message = message(link, address);
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    let message = RouteNetlinkMessage::NewNeighbour(message);
    Request::new(format!("add neighbour {address}"), message, NLM_F_CREATE | NLM_F_REPLACE)
}

/// Tells a bridge behind which port a hardware address is. What it doesn't know it sends to every port, and with
/// more than `net.core.netdev_max_backlog` of them the kernel drops the last copies.
pub(crate) fn behind(port: u32, mac: [u8; 6]) -> Request<RouteNetlinkMessage> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port;
    // Static: it doesn't age, and isn't the bridge's own.
    message.header.state = NeighbourState::Noarp;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    let message = RouteNetlinkMessage::NewNeighbour(message);
    Request::new("tell the bridge who is behind a port", message, NLM_F_CREATE | NLM_F_REPLACE)
}

/// Removes a neighbour.
pub(crate) fn remove(link: u32, address: IpAddr) -> Request<RouteNetlinkMessage> {
    let message = RouteNetlinkMessage::DelNeighbour(message(link, address));
    Request::new(format!("remove neighbour {address}"), message, 0)
}

/// Lists the permanent neighbours of both families.
pub(crate) fn list(socket: &mut Socket) -> Result<Vec<Listed>, KernelError> {
    let mut found = Vec::new();
    for family in Family::ALL {
        let mut request = NeighbourMessage::default();
        request.header.family = address_family(family);
        let request = RouteNetlinkMessage::GetNeighbour(request);
        let messages = socket.dump(Request::new(format!("list {family} neighbours"), request, 0))?;
        found.extend(messages.into_iter().filter_map(listed));
    }
    Ok(found)
}

fn message(link: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = address_family(Family::of(address));
    message.header.ifindex = link;
    message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::from(address)));
    message
}

fn listed(message: RouteNetlinkMessage) -> Option<Listed> {
    let RouteNetlinkMessage::NewNeighbour(message) = message else { return None };
    if message.header.state != NeighbourState::Permanent {
        return None;
    }
    let mut address = None;
    let mut mac = None;
    for attribute in message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(found)) => address = Some(found.into()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(found)) => address = Some(found.into()),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.try_into().ok(),
            _ => {}
        }
    }
    Some(Listed { link: message.header.ifindex, address: address?, mac: mac? })
}
