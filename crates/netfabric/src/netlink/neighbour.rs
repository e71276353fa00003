//! Neighbours that don't change by themselves.
//!
//! The kernel neither asks for them nor believes what is told of them, and they don't count towards the machine's
//! limit of neighbours (`gc_thresh3`), which one network of a thousand instances would reach.

use std::net::IpAddr;

use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};

use super::KernelError;
use super::route::address_family;
use super::rtnl::{Change, Rtnl};
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
pub(crate) fn add(link: u32, address: IpAddr, mac: [u8; 6]) -> Change {
    Change::new(format!("add neighbour {address}"), move |handle| {
        handle.neighbours().add(link, address).link_layer_address(&mac).replace().execute()
    })
}

/// Says where an address is, for now; what waited for that is sent.
pub(crate) fn answer(link: u32, address: IpAddr, mac: [u8; 6]) -> Change {
    Change::new(format!("say where {address} is"), move |handle| {
        let neighbour = handle.neighbours().add(link, address).link_layer_address(&mac);
        neighbour.state(NeighbourState::Reachable).replace().execute()
    })
}

/// Tells a bridge behind which port a hardware address is. What it doesn't know it sends to every port, and with
/// more than `net.core.netdev_max_backlog` of them the kernel drops the last copies.
pub(crate) fn behind(port: u32, mac: [u8; 6]) -> Change {
    Change::new("tell the bridge who is behind a port", move |handle| {
        // Static: it doesn't age, and isn't the bridge's own.
        let entry = handle.neighbours().add_bridge(port, &mac).state(NeighbourState::Noarp);
        entry.flags(NeighbourFlags::Controller).replace().execute()
    })
}

/// Removes a neighbour.
pub(crate) fn remove(link: u32, address: IpAddr) -> Change {
    Change::new(format!("remove neighbour {address}"), move |handle| {
        let neighbours = handle.neighbours();
        let named = neighbours.add(link, address).message_mut().clone();
        neighbours.del(named).execute()
    })
}

/// Lists the permanent neighbours of both families.
pub(crate) fn list(rtnl: &mut Rtnl) -> Result<Vec<Listed>, KernelError> {
    let mut found = Vec::new();
    for family in Family::ALL {
        let messages = rtnl.list(&format!("list {family} neighbours"), |handle| {
            handle.neighbours().get().set_address_family(address_family(family)).execute()
        })?;
        found.extend(messages.into_iter().filter_map(listed));
    }
    Ok(found)
}

/// What a message tells of a permanent neighbour; `None` of another.
pub(crate) fn listed(message: NeighbourMessage) -> Option<Listed> {
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
