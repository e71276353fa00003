//! Operations: values that say one change each, in words, and what is true after it.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::entry::{Entry, Slots};
use crate::family::TableFamily;
use crate::observed::{
    ForeignChain, LinkObserved, NeighbourObserved, Observed, RouteObserved, RuleObserved, TableObserved,
};
use crate::side::{HELD, RELEASED, Side, UPLINK};

/// One change of the kernel's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets a kernel parameter.
    SetSysctl {
        /// Where.
        side: Side,
        /// Path below `/proc/sys`.
        key: String,
        /// The new value.
        value: String,
    },
    /// Removes a link; a veth's other end goes with it.
    RemoveLink {
        /// Where.
        side: Side,
        /// The link.
        name: String,
    },
    /// Makes the pair that joins host and fabric; the host's end is up.
    AddUplink {
        /// Name of the host's end.
        name: String,
        /// MTU of both ends.
        mtu: u32,
    },
    /// Makes the pair of links behind which connections wait.
    AddHeld {
        /// MTU of both ends.
        mtu: u32,
    },
    /// Sends the connections that wait for an address on their way, by the rules as they are now.
    Release {
        /// The address.
        address: IpAddr,
    },
    /// Makes a bridge in the fabric.
    AddBridge {
        /// Its name.
        name: String,
        /// Its hardware address.
        mac: [u8; 6],
        /// Its MTU.
        mtu: u32,
    },
    /// Sets a link up with an MTU.
    SetLink {
        /// Where.
        side: Side,
        /// The link.
        name: String,
        /// The MTU.
        mtu: u32,
    },
    /// Makes a link to an instance a port of its bridge again.
    JoinPort {
        /// The link.
        port: String,
        /// The bridge.
        bridge: String,
        /// The hardware address behind the port.
        mac: [u8; 6],
        /// Whether it is cut off from other ports that are.
        isolated: bool,
    },
    /// Has a routing table asked.
    AddRule(RuleObserved),
    /// Has it asked no more.
    RemoveRule(RuleObserved),
    /// Removes an address and adds it again, with the routes that the kernel makes for it.
    RenewAddress {
        /// Where.
        side: Side,
        /// The link.
        link: String,
        /// The address with its subnet's prefix length.
        address: IpNetwork,
    },
    /// Mounts the fabric's namespace on its file again.
    Pin,
    /// Adds an address to a link.
    AddAddress {
        /// Where.
        side: Side,
        /// The link.
        link: String,
        /// The address with its subnet's prefix length.
        address: IpNetwork,
    },
    /// Removes an address from a link.
    RemoveAddress {
        /// Where.
        side: Side,
        /// The link.
        link: String,
        /// The address with its subnet's prefix length.
        address: IpNetwork,
    },
    /// Adds a route, or turns the one to the same destination.
    AddRoute {
        /// Where.
        side: Side,
        /// The route.
        route: RouteObserved,
    },
    /// Has the host take packets to `::1` in by our link: answers to connections of `::1` that were translated. For IPv6
    /// the kernel looks for the way to a loopback address on the link by which a packet came in.
    AdmitLoopback {
        /// Our link.
        link: String,
    },
    /// Removes a route.
    RemoveRoute {
        /// Where.
        side: Side,
        /// The route.
        route: RouteObserved,
    },
    /// Writes down where an address is in the fabric.
    AddNeighbour(NeighbourObserved),
    /// Removes what was written down.
    RemoveNeighbour(NeighbourObserved),
    /// Puts our table, without elements, in the place of what has its name.
    ReplaceTable {
        /// Where.
        side: Side,
        /// Its family.
        family: TableFamily,
        /// What it is made from.
        table: TableObserved,
    },
    /// Adds an entry to a set.
    AddEntry(Entry),
    /// Removes an entry from a set.
    RemoveEntry(Entry),
    /// Changes what a service address leads to.
    FillService {
        /// The service address.
        address: IpAddr,
        /// Its slots before.
        from: Slots,
        /// Its slots afterwards.
        to: Slots,
    },
    /// Lets our link's traffic through a chain of somebody else.
    AllowForward {
        /// The chain.
        chain: ForeignChain,
        /// Our link.
        link: String,
    },
}

impl Op {
    /// The side on whose nf_tables it works; `None` when it is of another kind.
    pub(crate) fn nft_side(&self) -> Option<Side> {
        match self {
            Self::ReplaceTable { side, .. } => Some(*side),
            Self::AddEntry(entry) | Self::RemoveEntry(entry) => Some(entry.side()),
            Self::FillService { .. } => Some(Side::Fabric),
            Self::AllowForward { .. } => Some(Side::Host),
            _ => None,
        }
    }

    /// Brings `observed` to what is true after this operation.
    pub fn project(&self, observed: &mut Observed) {
        match self {
            Self::SetSysctl { side, key, value } => {
                observed.side_mut(*side).sysctls.insert(key.clone(), value.clone());
            }
            Self::RemoveLink { side, name } => project_removal(observed, *side, name),
            Self::AddUplink { name, mtu } => {
                let link = |up| LinkObserved { bridge: false, up, mtu: *mtu, master: None, guard: None };
                observed.host.links.insert(name.clone(), link(true));
                observed.fabric.links.insert(UPLINK.to_owned(), link(false));
                observed.joined = true;
            }
            Self::AddHeld { mtu } => {
                for (name, up) in [(HELD, true), (RELEASED, false)] {
                    let link = LinkObserved { bridge: false, up, mtu: *mtu, master: None, guard: None };
                    observed.fabric.links.insert(name.to_owned(), link);
                }
            }
            Self::AddBridge { name, mtu, .. } => {
                let link = LinkObserved { bridge: true, up: true, mtu: *mtu, master: None, guard: None };
                observed.fabric.links.insert(name.clone(), link);
            }
            Self::SetLink { side, name, mtu } => {
                if let Some(link) = observed.side_mut(*side).links.get_mut(name) {
                    (link.up, link.mtu) = (true, *mtu);
                }
            }
            Self::AddAddress { side, link, address } => {
                observed.side_mut(*side).addresses.insert((link.clone(), *address));
            }
            Self::RemoveAddress { side, link, address } => {
                observed.side_mut(*side).addresses.remove(&(link.clone(), *address));
            }
            Self::AddRoute { side, route } => {
                let routes = &mut observed.side_mut(*side).routes;
                routes.retain(|other| other.to != route.to);
                routes.insert(route.clone());
            }
            Self::RemoveRoute { side, route } => {
                observed.side_mut(*side).routes.remove(route);
            }
            Self::AddNeighbour(neighbour) => {
                let neighbours = &mut observed.fabric.neighbours;
                neighbours
                    .retain(|other| (&other.link, other.address) != (&neighbour.link, neighbour.address));
                neighbours.insert(neighbour.clone());
            }
            Self::RemoveNeighbour(neighbour) => {
                observed.fabric.neighbours.remove(neighbour);
            }
            Self::AdmitLoopback { .. } => observed.loopback = true,
            Self::Pin => observed.unpinned = false,
            Self::JoinPort { port, bridge, .. } => {
                if let Some(link) = observed.fabric.links.get_mut(port) {
                    link.master = Some(bridge.clone());
                }
            }
            Self::AddRule(rule) => {
                observed.fabric.policy.insert(*rule);
            }
            Self::RemoveRule(rule) => {
                observed.fabric.policy.remove(rule);
            }
            Self::RenewAddress { side, link, address } => {
                let side = observed.side_mut(*side);
                side.unrouted.remove(&(link.clone(), *address));
                // With a link's last IPv4 address the kernel forgets these too, without a word.
                if address.is_ipv4() {
                    side.neighbours.retain(|other| other.link != *link || !other.address.is_ipv4());
                    side.routes.retain(|other| other.link != *link || !other.to.is_ipv4());
                }
            }
            _ => self.project_rules(observed),
        }
    }

    fn project_rules(&self, observed: &mut Observed) {
        match self {
            Self::ReplaceTable { side, family, table } => {
                let side = observed.side_mut(*side);
                side.forget_elements(*family);
                side.tables.insert(*family, *table);
            }
            Self::AddEntry(entry) => {
                observed.side_mut(entry.side()).entries.insert(entry.clone());
            }
            Self::RemoveEntry(entry) => {
                observed.side_mut(entry.side()).entries.remove(entry);
            }
            Self::FillService { address, to, .. } if to.backends().is_empty() => {
                observed.fabric.services.remove(address);
            }
            Self::FillService { address, to, .. } => {
                observed.fabric.services.insert(*address, to.clone());
            }
            Self::AllowForward { chain, .. } => {
                let found = observed.foreign.iter_mut().find(|other| *other == chain);
                found.into_iter().for_each(|chain| chain.ours = true);
            }
            _ => {}
        }
    }
}

fn project_removal(observed: &mut Observed, side: Side, name: &str) {
    if side == Side::Host || name == UPLINK {
        observed.loopback = false;
    }
    observed.side_mut(side).forget_link(name);
    if side == Side::Fabric && [HELD, RELEASED].contains(&name) {
        [HELD, RELEASED].iter().for_each(|end| observed.fabric.forget_link(end));
        return;
    }
    let other_end = match side {
        Side::Host => Some((Side::Fabric, UPLINK.to_owned())),
        Side::Fabric if name == UPLINK => {
            observed.host.links.keys().next().map(|name| (Side::Host, name.clone()))
        }
        Side::Fabric => None,
    };
    // Ends that aren't each other's don't go together.
    if let Some((side, name)) = other_end.filter(|_| observed.joined) {
        observed.side_mut(side).forget_link(&name);
        observed.joined = false;
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetSysctl { side, key, value } => write!(f, "{side}: set {key} to {value}"),
            Self::RemoveLink { side, name } => write!(f, "{side}: remove link {name}"),
            Self::AddUplink { name, mtu } => {
                write!(f, "host: join {name} to the fabric's {UPLINK}, mtu {mtu}")
            }
            Self::AddHeld { .. } => write!(f, "fabric: join {HELD} to {RELEASED}"),
            Self::Release { address } => write!(f, "fabric: release what waits for {address}"),
            Self::AddBridge { name, mtu, .. } => write!(f, "fabric: add bridge {name}, mtu {mtu}"),
            Self::SetLink { side, name, mtu } => write!(f, "{side}: set {name} up, mtu {mtu}"),
            Self::AddAddress { side, link, address } => write!(f, "{side}: add {address} to {link}"),
            Self::RemoveAddress { side, link, address } => {
                write!(f, "{side}: remove {address} from {link}")
            }
            Self::AddRoute { side, route } => write!(f, "{side}: route {route}"),
            Self::RemoveRoute { side, route } => write!(f, "{side}: stop routing {route}"),
            Self::JoinPort { port, bridge, .. } => write!(f, "fabric: join {port} to {bridge}"),
            Self::AddRule(rule) => write!(f, "fabric: add rule {rule}"),
            Self::RemoveRule(rule) => write!(f, "fabric: remove rule {rule}"),
            Self::RenewAddress { side, link, address } => {
                write!(f, "{side}: renew {address} on {link} with its routes")
            }
            Self::Pin => f.write_str("fabric: mount the namespace on its file"),
            Self::AdmitLoopback { link } => write!(f, "host: take packets to ::1 in by {link}"),
            Self::AddNeighbour(NeighbourObserved { link, address, .. }) => {
                write!(f, "fabric: note where {address} is on {link}")
            }
            Self::RemoveNeighbour(NeighbourObserved { link, address, .. }) => {
                write!(f, "fabric: forget where {address} was on {link}")
            }
            _ => self.fmt_rules(f),
        }
    }
}

impl Op {
    fn fmt_rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReplaceTable { side, family, .. } => write!(f, "{side}: replace the {family} table"),
            Self::AddEntry(entry) => write!(f, "{}: {entry}", entry.side()),
            Self::RemoveEntry(entry) => write!(f, "{}: no longer {entry}", entry.side()),
            Self::FillService { address, from, to } => {
                write!(f, "fabric: lead {address} to {} instead of {}", Backends(to), Backends(from))
            }
            Self::AllowForward { chain, link } => write!(f, "host: let {link} pass {chain}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for RouteObserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.via {
            Some(via) => write!(f, "{} by {via} on {}", self.to, self.link),
            None => write!(f, "{} on {}", self.to, self.link),
        }
    }
}

/// Backends in a sentence.
struct Backends<'a>(&'a Slots);

impl fmt::Display for Backends<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backends: Vec<String> = self.0.backends().iter().map(ToString::to_string).collect();
        if backends.is_empty() { f.write_str("nobody") } else { f.write_str(&backends.join(" and ")) }
    }
}
