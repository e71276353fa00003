//! What was said of a namespace since it was listened to last: of each thing, the last that was said.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload, NlasIterator};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::rule::RuleMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::subscription::Known;
use crate::family::Family;
use crate::netlink::link::Listed;
use crate::netlink::route::ListedRoute;
use crate::netlink::{link, neighbour, route, rule};
use crate::observed::{RouteObserved, RuleObserved};

/// `AF_INET`.
const INET: u8 = 2;
/// `NETCONFA_IFINDEX`, `NETCONFA_FORWARDING` and `NETCONFA_RP_FILTER`, linux/netconf.h.
const IFINDEX: u16 = 1;
const FORWARDING: u16 = 2;
const RP_FILTER: u16 = 3;
/// `NETCONFA_IFINDEX_ALL` and `NETCONFA_IFINDEX_DEFAULT`.
const ALL: i32 = -1;
const DEFAULT: i32 = -2;

/// See the module. Presence is `true`, absence `false` or `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Links by name, with the name of the bridge that each is a port of.
    pub(crate) links: BTreeMap<String, Option<(Listed, Option<String>)>>,
    /// Links that were removed, or set down after they had been up; by now they may be back.
    pub(crate) interrupted: BTreeSet<String>,
    pub(crate) addresses: BTreeMap<(String, IpNetwork), bool>,
    pub(crate) routes: BTreeMap<RouteObserved, bool>,
    /// Routes that the kernel makes itself for an address, by link and destination.
    pub(crate) own_routes: BTreeMap<(String, IpNetwork), bool>,
    pub(crate) neighbours: BTreeMap<(String, IpAddr), Option<[u8; 6]>>,
    /// Kernel parameters, by their path below `/proc/sys`.
    pub(crate) sysctls: BTreeMap<String, String>,
    pub(crate) policy: BTreeMap<RuleObserved, bool>,
    /// Somebody else changed nf_tables that concern us.
    pub(crate) tables: bool,
    /// More was said than there was room for.
    pub(crate) lost: bool,
}

impl Heard {
    /// Notes a message of rtnetlink.
    pub(super) fn route(&mut self, message: &[u8], links: &mut BTreeMap<u32, Known>) {
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) else {
            self.lost = true;
            return;
        };
        let NetlinkPayload::InnerMessage(message) = message.payload else { return };
        match message {
            RouteNetlinkMessage::NewLink(message) if is_whole(&message) => {
                self.link(link::listed(message), links);
            }
            RouteNetlinkMessage::DelLink(message) if is_whole(&message) => {
                self.no_link(&link::listed(message), links);
            }
            RouteNetlinkMessage::NewAddress(message) => {
                self.address(route::listed_address(&message), true, links);
            }
            RouteNetlinkMessage::DelAddress(message) => {
                self.address(route::listed_address(&message), false, links);
            }
            RouteNetlinkMessage::NewRoute(message) => {
                self.ip_route(route::listed_route(message), true, links);
            }
            RouteNetlinkMessage::DelRoute(message) => {
                self.ip_route(route::listed_route(message), false, links);
            }
            RouteNetlinkMessage::NewNeighbour(message) => self.neighbour(message, true, links),
            RouteNetlinkMessage::DelNeighbour(message) => self.neighbour(message, false, links),
            RouteNetlinkMessage::NewRule(message) => self.rule(&message, true),
            RouteNetlinkMessage::DelRule(message) => self.rule(&message, false),
            _ => {}
        }
    }

    fn link(&mut self, link: Listed, links: &mut BTreeMap<u32, Known>) {
        let known = Known { name: link.name.clone(), up: link.up };
        let before = links.insert(link.index, known);
        if let Some(before) = before {
            if before.up && !link.up {
                self.interrupted.insert(before.name.clone());
            }
            if before.name != link.name {
                self.links.insert(before.name, None);
            }
        }
        let master = link.master.and_then(|index| links.get(&index)).map(|known| known.name.clone());
        self.links.insert(link.name.clone(), Some((link, master)));
    }

    fn no_link(&mut self, link: &Listed, links: &mut BTreeMap<u32, Known>) {
        links.remove(&link.index);
        self.interrupted.insert(link.name.clone());
        // Another one may have its name by now.
        if links.values().all(|other| other.name != link.name) {
            self.links.insert(link.name.clone(), None);
        }
    }

    fn address(&mut self, listed: Option<route::ListedAddress>, there: bool, links: &BTreeMap<u32, Known>) {
        let Some(listed) = listed.filter(|listed| !listed.address.ip().is_loopback()) else { return };
        if let Some(link) = links.get(&listed.link) {
            self.addresses.insert((link.name.clone(), listed.address), there);
        }
    }

    fn ip_route(&mut self, listed: Option<ListedRoute>, there: bool, links: &BTreeMap<u32, Known>) {
        let Some(listed) = listed else { return };
        let Some(link) = listed.link.and_then(|link| links.get(&link)) else { return };
        let link = link.name.clone();
        if listed.local || (listed.unicast && listed.by_kernel) {
            self.own_routes.insert((link, listed.to), there);
        } else if listed.unicast {
            self.routes.insert(RouteObserved { to: listed.to, via: listed.via, link }, there);
        }
    }

    /// One that is no longer permanent is as good as gone.
    fn neighbour(&mut self, message: NeighbourMessage, there: bool, links: &BTreeMap<u32, Known>) {
        // Of a bridge, it is about which port a hardware address is behind.
        if message.header.family == AddressFamily::Bridge {
            return;
        }
        let address = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some((*address).into()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some((*address).into()),
            _ => None,
        });
        let (Some(address), Some(link)) = (address, links.get(&message.header.ifindex)) else { return };
        let mac = neighbour::listed(message).filter(|_| there).map(|listed| listed.mac);
        self.neighbours.insert((link.name.clone(), address), mac);
    }

    fn rule(&mut self, message: &RuleMessage, there: bool) {
        let family = match message.header.family {
            AddressFamily::Inet => Family::V4,
            AddressFamily::Inet6 => Family::V6,
            _ => return,
        };
        self.policy.insert(rule::listed(message, family), there);
    }

    /// Notes a message on kernel parameters: `struct netconfmsg`, which is the family alone, and attributes.
    pub(super) fn netconf(&mut self, payload: &[u8]) {
        let Some((family, attributes)) = payload.split_first_chunk::<4>() else { return };
        let mut values = BTreeMap::new();
        for attribute in NlasIterator::new(attributes).flatten() {
            if let Ok(value) = attribute.value().try_into() {
                values.insert(attribute.kind(), i32::from_ne_bytes(value));
            }
        }
        let four = family[0] == INET;
        let conf = match values.get(&IFINDEX) {
            Some(&ALL) => "all",
            Some(&DEFAULT) => "default",
            _ => return,
        };
        let version = if four { "ipv4" } else { "ipv6" };
        for (attribute, name) in [(FORWARDING, "forwarding"), (RP_FILTER, "rp_filter")] {
            let Some(value) = values.get(&attribute) else { continue };
            let key = match (four, conf, name) {
                (true, "all", "forwarding") => "net/ipv4/ip_forward".to_owned(),
                _ => format!("net/{version}/conf/{conf}/{name}"),
            };
            self.sysctls.insert(key, value.to_string());
        }
    }
}

/// A bridge speaks of its ports in messages of its own, which say less and mean something else: that a port is gone
/// from the bridge, not that the link is.
fn is_whole(message: &netlink_packet_route::link::LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}
