//! Addresses and routes.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{KernelError, Request, Socket};
use crate::family::{Family, canonical, with_prefix};

/// `RT_TABLE_LOCAL`, linux/rtnetlink.h.
const LOCAL_TABLE: u8 = 255;
/// The kernel's own local routes have priority 0, and the least comes first.
const BEHIND: u32 = 1;

/// An address as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedAddress {
    /// Index of its link.
    pub(crate) link: u32,
    pub(crate) address: IpNetwork,
}

/// A route of the main table as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedRoute {
    pub(crate) to: IpNetwork,
    pub(crate) via: Option<IpAddr>,
    /// Index of the link it leads out of.
    pub(crate) link: Option<u32>,
    /// Made by the kernel itself, as the route to a link's own subnet.
    pub(crate) by_kernel: bool,
    /// Learnt from an IPv6 router advertisement.
    pub(crate) by_advertisement: bool,
    /// Of the main table, and an ordinary one: neither local nor broadcast nor unreachable.
    pub(crate) unicast: bool,
    /// Of the local table: packets to it that come in by its link are the namespace's own.
    pub(crate) local: bool,
}

/// What an address on a link brings with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// The kernel adds the route to the subnet.
    Routed,
    /// It doesn't: the subnet is reached as the routes say.
    Bare,
}

/// Adds an address; one already there is no error. No duplicate address detection: addresses are ours
/// to give, and an address on probation can't be used for a second.
pub(crate) fn add_address(link: u32, address: IpNetwork, prefix: Prefix) -> Request<RouteNetlinkMessage> {
    let mut message = address_message(link, address);
    let bare = if prefix == Prefix::Bare { AddressFlags::Noprefixroute } else { AddressFlags::empty() };
    message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad | bare));
    if let IpNetwork::V4(address) = address {
        message.attributes.push(AddressAttribute::Broadcast(address.broadcast()));
    }
    let message = RouteNetlinkMessage::NewAddress(message);
    Request::new(format!("add address {address}"), message, NLM_F_CREATE | NLM_F_REPLACE)
}

/// Removes an address.
pub(crate) fn remove_address(link: u32, address: IpNetwork) -> Request<RouteNetlinkMessage> {
    let message = RouteNetlinkMessage::DelAddress(address_message(link, address));
    Request::new(format!("remove address {address}"), message, 0)
}

/// Lists every address of the namespace but IPv6 link-local ones.
pub(crate) fn addresses(socket: &mut Socket) -> Result<Vec<ListedAddress>, KernelError> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let messages = socket.dump(Request::new("list addresses", request, 0))?;
    Ok(messages.into_iter().filter_map(listed_address).collect())
}

/// Where a route leads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop {
    /// Index of the link.
    pub(crate) link: u32,
    /// The next router; without one the destination is on the link itself.
    pub(crate) via: Option<IpAddr>,
    /// The source address to prefer.
    pub(crate) source: Option<IpAddr>,
}

/// Adds a route, or replaces the one to the same destination.
pub(crate) fn add(to: IpNetwork, hop: Hop) -> Request<RouteNetlinkMessage> {
    let message = RouteNetlinkMessage::NewRoute(route_message(to, hop));
    Request::new(format!("add route to {to}"), message, NLM_F_CREATE | NLM_F_REPLACE)
}

/// Takes packets to a local address in by another link, too. Behind the kernel's own route, so that what the namespace
/// sends to that address stays on its loopback.
pub(crate) fn add_local(to: IpNetwork, link: u32) -> Request<RouteNetlinkMessage> {
    let mut message = route_message(to, Hop { link, via: None, source: None });
    message.header.table = LOCAL_TABLE;
    message.header.kind = RouteType::Local;
    message.attributes.push(RouteAttribute::Priority(BEHIND));
    let message = RouteNetlinkMessage::NewRoute(message);
    Request::new(format!("take packets to {to} in"), message, NLM_F_CREATE | NLM_F_REPLACE)
}

/// Removes a route.
pub(crate) fn remove(to: IpNetwork, hop: Hop) -> Request<RouteNetlinkMessage> {
    let message = RouteNetlinkMessage::DelRoute(route_message(to, hop));
    Request::new(format!("remove route to {to}"), message, 0)
}

/// Lists the routes of a family.
pub(crate) fn list(socket: &mut Socket, family: Family) -> Result<Vec<ListedRoute>, KernelError> {
    let mut request = RouteMessage::default();
    request.header.address_family = address_family(family);
    let request = RouteNetlinkMessage::GetRoute(request);
    let messages = socket.dump(Request::new(format!("list {family} routes"), request, 0))?;
    Ok(messages.into_iter().filter_map(|message| listed_route(message, family)).collect())
}

/// Whether packets to an address are taken for the namespace's own. For IPv6 the kernel gets there, and
/// begins to answer neighbours, on a work queue after the address was added.
pub(crate) fn is_local(socket: &mut Socket, address: IpAddr) -> Result<bool, KernelError> {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(Family::of(address));
    message.header.destination_prefix_length = Family::of(address).bits();
    message.attributes.push(RouteAttribute::Destination(RouteAddress::from(address)));
    let request = Request::new(format!("find route to {address}"), RouteNetlinkMessage::GetRoute(message), 0);
    let replies = socket.request(request)?;
    let local = |reply: &RouteNetlinkMessage| matches!(reply, RouteNetlinkMessage::NewRoute(route) if route.header.kind == RouteType::Local);
    Ok(replies.iter().any(local))
}

pub(super) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

fn address_message(link: u32, address: IpNetwork) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = address_family(Family::of(address.ip()));
    message.header.prefix_len = address.prefix();
    message.header.index = link;
    message.attributes = vec![AddressAttribute::Local(address.ip()), AddressAttribute::Address(address.ip())];
    message
}

fn route_message(to: IpNetwork, hop: Hop) -> RouteMessage {
    let to = canonical(to);
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(Family::of(to.ip()));
    message.header.destination_prefix_length = to.prefix();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    // IPv4 only: a route without a router must say that its destination is on the link (ip-route(8)).
    message.header.scope = match hop.via {
        None if to.is_ipv4() => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    if to.prefix() > 0 {
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(to.ip())));
    }
    message.attributes.push(RouteAttribute::Oif(hop.link));
    message.attributes.extend(hop.via.map(|via| RouteAttribute::Gateway(RouteAddress::from(via))));
    message
        .attributes
        .extend(hop.source.map(|source| RouteAttribute::PrefSource(RouteAddress::from(source))));
    message
}

fn listed_address(message: RouteNetlinkMessage) -> Option<ListedAddress> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let any = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    let address = local.or(any)?;
    if matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()) {
        return None;
    }
    Some(ListedAddress {
        link: message.header.index,
        address: with_prefix(address, message.header.prefix_len),
    })
}

fn listed_route(message: RouteNetlinkMessage, family: Family) -> Option<ListedRoute> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let header = message.header;
    let mut route = ListedRoute {
        to: family.everything(),
        via: None,
        link: None,
        by_kernel: header.protocol == RouteProtocol::Kernel,
        by_advertisement: header.protocol == RouteProtocol::Ra,
        unicast: header.kind == RouteType::Unicast && header.table == RouteHeader::RT_TABLE_MAIN,
        local: header.kind == RouteType::Local && header.table == LOCAL_TABLE,
    };
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => {
                route.to = with_prefix(ip(&to)?, header.destination_prefix_length);
            }
            RouteAttribute::Gateway(via) => route.via = ip(&via),
            RouteAttribute::Oif(link) => route.link = Some(link),
            _ => {}
        }
    }
    Some(route)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
