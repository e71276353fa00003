//! Addresses and routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{AddressMessageBuilder, RouteMessageBuilder};

use super::KernelError;
use super::rtnl::{Change, Rtnl};
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
pub(crate) fn add_address(link: u32, address: IpNetwork, prefix: Prefix) -> Change {
    let bare = if prefix == Prefix::Bare { AddressFlags::Noprefixroute } else { AddressFlags::empty() };
    Change::new(format!("add address {address}"), move |handle| {
        let mut request = handle.address().add(link, address.ip(), address.prefix()).replace();
        request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad | bare));
        request.execute()
    })
}

/// Removes an address.
pub(crate) fn remove_address(link: u32, address: IpNetwork) -> Change {
    let message = match address {
        IpNetwork::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
            .index(link)
            .address(address.ip(), address.prefix())
            .build(),
        IpNetwork::V6(address) => AddressMessageBuilder::<Ipv6Addr>::new()
            .index(link)
            .address(address.ip(), address.prefix())
            .build(),
    };
    Change::new(format!("remove address {address}"), |handle| handle.address().del(message).execute())
}

/// Lists every address of the namespace but IPv6 link-local ones.
pub(crate) fn addresses(rtnl: &mut Rtnl) -> Result<Vec<ListedAddress>, KernelError> {
    let messages = rtnl.list("list addresses", |handle| handle.address().get().execute())?;
    Ok(messages.iter().filter_map(listed_address).collect())
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
pub(crate) fn add(to: IpNetwork, hop: Hop) -> Change {
    let message = route_message(to, hop);
    Change::new(format!("add route to {to}"), |handle| handle.route().add(message).replace().execute())
}

/// Takes packets to `::1` in by another link, too. Behind the kernel's own route, so that what the namespace sends to
/// that address stays on its loopback.
pub(crate) fn admit_loopback(link: u32) -> Change {
    let route = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(Ipv6Addr::LOCALHOST, 128);
    let route =
        route.output_interface(link).table_id(LOCAL_TABLE.into()).kind(RouteType::Local).priority(BEHIND);
    Change::new("take packets to ::1 in", |handle| handle.route().add(route.build()).replace().execute())
}

/// Removes a route.
pub(crate) fn remove(to: IpNetwork, hop: Hop) -> Change {
    let message = route_message(to, hop);
    Change::new(format!("remove route to {to}"), |handle| handle.route().del(message).execute())
}

/// Lists the routes of a family.
pub(crate) fn list(rtnl: &mut Rtnl, family: Family) -> Result<Vec<ListedRoute>, KernelError> {
    let messages = rtnl
        .list(&format!("list {family} routes"), |handle| handle.route().get(every_route(family)).execute())?;
    Ok(messages.into_iter().filter_map(listed_route).collect())
}

/// Whether packets to an address are taken for the namespace's own. For IPv6 the kernel gets there, and
/// begins to answer neighbours, on a work queue after the address was added.
pub(crate) fn is_local(rtnl: &mut Rtnl, address: IpAddr) -> Result<bool, KernelError> {
    let asked = match address {
        IpAddr::V4(address) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, 32).build(),
        IpAddr::V6(address) => {
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(address, 128).build()
        }
    };
    let routes =
        rtnl.ask(format!("find route to {address}"), |handle| handle.route().get(asked).execute())?;
    Ok(routes.iter().any(|route| route.header.kind == RouteType::Local))
}

fn every_route(family: Family) -> RouteMessage {
    match family {
        Family::V4 => RouteMessageBuilder::<Ipv4Addr>::new().build(),
        Family::V6 => RouteMessageBuilder::<Ipv6Addr>::new().build(),
    }
}

pub(super) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

fn route_message(to: IpNetwork, hop: Hop) -> RouteMessage {
    match canonical(to) {
        IpNetwork::V4(to) => route4(to, hop).build(),
        IpNetwork::V6(to) => route6(to, hop).build(),
    }
}

fn route4(to: Ipv4Network, hop: Hop) -> RouteMessageBuilder<Ipv4Addr> {
    let mut route = RouteMessageBuilder::<Ipv4Addr>::new().output_interface(hop.link);
    if to.prefix() > 0 {
        route = route.destination_prefix(to.ip(), to.prefix());
    }
    // A route without a router must say that its destination is on the link (ip-route(8)).
    route = match hop.via {
        Some(IpAddr::V4(via)) => route.gateway(via),
        _ => route.scope(RouteScope::Link),
    };
    match hop.source {
        Some(IpAddr::V4(source)) => route.pref_source(source),
        _ => route,
    }
}

fn route6(to: Ipv6Network, hop: Hop) -> RouteMessageBuilder<Ipv6Addr> {
    let mut route = RouteMessageBuilder::<Ipv6Addr>::new().output_interface(hop.link);
    if to.prefix() > 0 {
        route = route.destination_prefix(to.ip(), to.prefix());
    }
    if let Some(IpAddr::V6(via)) = hop.via {
        route = route.gateway(via);
    }
    match hop.source {
        Some(IpAddr::V6(source)) => route.pref_source(source),
        _ => route,
    }
}

/// What a message tells of an address.
pub(crate) fn listed_address(message: &AddressMessage) -> Option<ListedAddress> {
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

/// What a message tells of a route.
pub(crate) fn listed_route(message: RouteMessage) -> Option<ListedRoute> {
    let header = message.header;
    let family = if header.address_family == AddressFamily::Inet6 { Family::V6 } else { Family::V4 };
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
