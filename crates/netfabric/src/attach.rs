//! Joining an instance's namespace to networks.
//!
//! An instance's address carries its subnet's prefix length, but the subnet isn't on the link: every
//! packet to a neighbour goes through the fabric, and so does its answer. That is what makes service
//! addresses work between instances of one network, with the client's address kept (decision 0002).
//! Broadcast and multicast still reach the whole bridge.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use netlink_packet_netfilter::NetfilterMessage;

use crate::entry::Entry;
use crate::fabric::{ConvergeError, Fabric, Port};
use crate::family::{Family, canonical, with_prefix};
use crate::guard::{Allowed, Guard};
use crate::netlink::link::{self, Peer, Veth};
use crate::netlink::route::{self, Hop, Prefix};
use crate::netlink::rtnl::Rtnl;
use crate::netlink::{KernelError, Request, neighbour};
use crate::netns::{self, NetnsError};
use crate::nft;
use crate::nft::element::{self, SetRef};
use crate::observed::{LinkObserved, NeighbourObserved, RouteObserved};
use crate::spec::{Attachment, HostEnd, LinkName, Network, NetworkId, SpecError};
use crate::wanted;

const SETTLE: Duration = Duration::from_millis(500);
const SETTLE_STEP: Duration = Duration::from_micros(300);

/// What to join to what.
#[derive(Clone, Copy, Debug)]
pub struct AttachRequest<'a> {
    /// The instance's namespace.
    pub netns: BorrowedFd<'a>,
    /// The instance's short identifier, from which the fabric's ends are named ([`HostEnd`]).
    pub instance: &'a str,
    /// The networks of the spec that was carried out last.
    pub networks: &'a BTreeMap<NetworkId, Network>,
    /// The interfaces to make, in order.
    pub attachments: &'a [Attachment],
}

/// An interface that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The fabric's end.
    pub end: HostEnd,
    /// Name of the interface inside the instance.
    pub ifname: LinkName,
    /// Its hardware address.
    pub mac: [u8; 6],
}

/// Why an instance couldn't be joined. Interfaces made until then are there; a second call replaces them.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The request contradicts itself or the networks; nothing was changed.
    #[error("the instance can't be attached as asked for")]
    Spec(#[from] SpecError),
    /// The kernel refused something.
    #[error("interface {ifname} couldn't be set up")]
    Kernel {
        /// The interface inside the instance.
        ifname: LinkName,
        /// What the kernel refused.
        #[source]
        source: KernelError,
    },
    /// What the instance may send couldn't be written down.
    #[error("the check of what interface {ifname} sends couldn't be set up")]
    Repair {
        /// The interface inside the instance.
        ifname: LinkName,
        /// Why the rules, which were gone, couldn't be made again.
        #[source]
        source: Box<ConvergeError>,
    },
    /// The instance's namespace couldn't be entered.
    #[error("the instance's namespace couldn't be entered")]
    Netns(#[from] NetnsError),
}

impl Fabric {
    /// Gives an instance its interfaces, addresses and routes, all up, and its `lo`.
    ///
    /// Interfaces under the same fabric's ends that an earlier, interrupted call left are replaced. It
    /// takes about a millisecond for each interface, and may run for many instances at once.
    pub fn attach(&self, request: &AttachRequest<'_>) -> Result<Vec<Attached>, AttachError> {
        let mut interfaces = interfaces(request)?;
        for interface in &mut interfaces {
            self.join(interface, request.netns)?;
        }
        let inside = interfaces.clone();
        netns::enter(request.netns, move || set_up_inside(&inside))??;
        self.settle(&interfaces);
        let made = |interface: Interface| Attached {
            end: interface.end,
            ifname: interface.ifname,
            mac: interface.guard.mac,
        };
        Ok(interfaces.into_iter().map(made).collect())
    }

    /// Waits until the fabric's side of the interfaces works.
    fn settle(&self, interfaces: &[Interface]) {
        settle(|| {
            let socket = &mut self.fabric_place().sockets().route;
            let mut passes = |name: &LinkName| {
                let found = link::find(socket, name.as_str());
                found.is_ok_and(|link| link.is_some_and(|link| link.passes))
            };
            let linked = |interface: &Interface| passes(interface.end.link()) && passes(&interface.bridge);
            interfaces.iter().all(linked)
                && interfaces
                    .iter()
                    .flat_map(Interface::gateways)
                    .all(|gateway| route::is_local(socket, gateway).unwrap_or(false))
        });
    }

    /// Makes one interface a part of its network. Where somebody removed the rules meanwhile, or the network has got
    /// another bridge, they are made again.
    fn join(&self, interface: &mut Interface, netns: BorrowedFd<'_>) -> Result<(), AttachError> {
        let ifname = interface.ifname.clone();
        let failed = |source| AttachError::Kernel { ifname: ifname.clone(), source };
        let repair = || {
            let repaired = self.repair().map(drop);
            repaired
                .map_err(|source| AttachError::Repair { ifname: ifname.clone(), source: Box::new(source) })
        };
        let grown = match self.link(interface, netns) {
            Err(error) if error.is(libc::ENOENT) => {
                repair()?;
                self.link(interface, netns)
            }
            outcome => outcome,
        };
        if grown.map_err(failed)? { repair() } else { Ok(()) }
    }

    /// The order matters: the note is there before the link is a port, so that whoever looks at a port finds it;
    /// and what the port may send is written down before anything can be sent. Tells whether a bridge was made.
    fn link(&self, interface: &mut Interface, netns: BorrowedFd<'_>) -> Result<bool, KernelError> {
        let attaching = self.attaching();
        let mut sockets = self.fabric_place().sockets();
        link::index(&mut sockets.route, interface.bridges[0].as_str())?;
        make(&mut sockets.route, interface, netns)?;
        nft::commit(&mut sockets.nft, self.entries(interface))?;
        let seat = seat(&mut sockets.route, interface)?;
        let port = interface.end.link().as_str();
        let index = link::index(&mut sockets.route, port)?;
        let mut routes = Vec::new();
        let mut changes = vec![neighbour::behind(index, interface.guard.mac)];
        changes.extend(interface.isolated.then(|| link::isolate(port, index)));
        let guard = &interface.guard;
        if interface.checked {
            let known = guard.addresses.iter();
            changes.extend(known.map(|address| neighbour::add(seat.bridge, *address, guard.mac)));
        }
        for address in &guard.addresses {
            let to = with_prefix(*address, Family::of(*address).bits());
            let hop = Hop { link: seat.bridge, via: None, source: None };
            if seat.number > 0 {
                changes.push(route::add(to, hop));
                let link = interface.bridges[seat.number].to_string();
                routes.push(RouteObserved { to, via: None, link });
            } else if seat.grown_before {
                // Whoever had the address before may have been on another bridge.
                forget_route(&mut sockets.route, to, interface)?;
            }
        }
        interface.bridge = interface.bridges[seat.number].clone();
        sockets.route.changes(changes)?;
        self.note(&attaching, interface.port(&interface.bridge, routes));
        Ok(seat.made)
    }

    /// What may come in by the interface's port, when the network checks it. Without a check there may be no table; when
    /// there is one, for the sake of another network, a port without an entry is cut off.
    fn entries(&self, interface: &Interface) -> Vec<Request<NetfilterMessage>> {
        let table = self.config().tag.name();
        let add = |allowed: Allowed| {
            let set = SetRef { family: Allowed::TABLE, table: &table, set: allowed.set() };
            element::add(set, &[allowed.raw(interface.end.link().as_str())])
        };
        interface.allowed().into_iter().flat_map(add).collect()
    }
}

/// Where a port has found a place.
struct Seat {
    /// Which of the network's bridges, and its index.
    number: usize,
    bridge: u32,
    /// It was made for this port.
    made: bool,
    /// The network had more than one bridge before.
    grown_before: bool,
}

/// Joins the port to the first bridge of its network that has a place left, and makes the next when none has.
fn seat(socket: &mut Rtnl, interface: &Interface) -> Result<Seat, KernelError> {
    let port = interface.end.link().as_str();
    let second = interface.bridges.get(1);
    let grown_before = match second {
        Some(name) => link::find(socket, name.as_str())?.is_some(),
        None => false,
    };
    let mut full = KernelError::new(format!("find a bridge for {port}"), io::ErrorKind::NotFound.into());
    for (number, name) in interface.bridges.iter().enumerate() {
        let found = link::find(socket, name.as_str())?;
        if found.is_none() {
            let mac = interface.bridge_mac;
            socket.change(link::bridge(name.as_str(), mac, interface.mtu))?;
        }
        let bridge = link::index(socket, name.as_str())?;
        match socket.change(link::join(port, bridge)) {
            Ok(()) => return Ok(Seat { number, bridge, made: found.is_none(), grown_before }),
            Err(error) if error.is(libc::EXFULL) => full = error,
            Err(error) => return Err(error),
        }
    }
    Err(full)
}

/// Removes the routes that lead an address to a further bridge.
fn forget_route(socket: &mut Rtnl, to: IpNetwork, interface: &Interface) -> Result<(), KernelError> {
    for name in &interface.bridges[1..] {
        let Some(bridge) = link::find(socket, name.as_str())? else { break };
        match socket.change(route::remove(to, Hop { link: bridge.index, via: None, source: None })) {
            Err(error) if !error.is(libc::ESRCH) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes the link; it replaces one that an interrupted attempt left.
fn make(socket: &mut Rtnl, interface: &Interface, netns: BorrowedFd<'_>) -> Result<(), KernelError> {
    let name = interface.end.link().as_str();
    let veth = Veth { name, mtu: interface.mtu };
    let peer = Peer { name: interface.ifname.as_str(), netns, mac: Some(interface.guard.mac) };
    let changes = || vec![link::veth(veth, peer), link::note(name, &interface.alias)];
    match socket.changes(changes()) {
        Err(error) if error.is(libc::EEXIST) => {
            link::remove(socket, name)?;
            socket.changes(changes())
        }
        outcome => outcome,
    }
}

/// One interface in full: what an attachment means in its network.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    end: HostEnd,
    /// The bridge that it is at, and those of its network, in the order in which they fill.
    bridge: LinkName,
    bridges: Vec<LinkName>,
    bridge_mac: [u8; 6],
    ifname: LinkName,
    /// What it may send, and the same as a note.
    guard: Guard,
    alias: String,
    /// Whether its network holds it to that.
    checked: bool,
    /// Whether some network does.
    beside_checked: bool,
    mtu: u32,
    isolated: bool,
    addresses: Vec<IpNetwork>,
    routes: Vec<Route>,
}

impl Interface {
    /// What is written down that may come in by its port.
    fn allowed(&self) -> Vec<Allowed> {
        match self.checked {
            true => self.guard.allowed().into_iter().collect(),
            false if self.beside_checked => vec![Allowed::Anything],
            false => Vec::new(),
        }
    }

    /// What is there of it once it is a port of its network's bridge `bridge`.
    fn port(&self, bridge: &LinkName, routes: Vec<RouteObserved>) -> Port {
        let name = self.end.link().to_string();
        let (master, guard) = (Some(bridge.to_string()), Some(self.guard.clone()));
        let entry = |allowed| Entry::Source { port: name.clone(), allowed };
        let known = self.guard.addresses.iter().filter(|_| self.checked);
        let neighbour = |address: &IpAddr| NeighbourObserved {
            link: bridge.to_string(),
            address: *address,
            mac: self.guard.mac,
        };
        Port {
            link: LinkObserved { bridge: false, up: true, mtu: self.mtu, master, guard },
            entries: self.allowed().into_iter().map(entry).collect(),
            neighbours: known.map(neighbour).collect(),
            routes,
            name,
        }
    }

    fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.routes.iter().filter(|route| route.via.is_none()).map(|route| route.to.ip())
    }
}

/// Waits until `works`, but not for long: the kernel finishes links and addresses on work queues, a
/// millisecond or two later. A packet before that is lost, and sent again only after a second; but when
/// the kernel takes longer, waiting here helps nobody.
fn settle(mut works: impl FnMut() -> bool) {
    let end = Instant::now() + SETTLE;
    while !works() && Instant::now() < end {
        thread::sleep(SETTLE_STEP);
    }
}

/// A route inside an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    to: IpNetwork,
    via: Option<IpAddr>,
    source: IpAddr,
}

fn interfaces(request: &AttachRequest<'_>) -> Result<Vec<Interface>, SpecError> {
    let attachments = request.attachments.iter().enumerate();
    attachments
        .map(|(index, attachment)| {
            let network =
                request.networks.get(&attachment.network).ok_or_else(|| SpecError::UnknownNetwork {
                    what: format!("interface {}", attachment.ifname),
                    network: attachment.network.clone(),
                })?;
            let mut interface = interface(HostEnd::new(request.instance, index)?, attachment, network)?;
            interface.beside_checked = request.networks.values().any(|network| network.source_check);
            Ok(interface)
        })
        .collect()
}

fn interface(end: HostEnd, attachment: &Attachment, network: &Network) -> Result<Interface, SpecError> {
    let mut addresses = Vec::new();
    let mut routes = Vec::new();
    for address in &attachment.addresses {
        let range = network.range(Family::of(*address)).filter(|range| range.subnet.contains(*address));
        let range = range.ok_or_else(|| SpecError::Outside {
            what: format!("address of interface {}", attachment.ifname),
            address: *address,
            range: format!("network {}", attachment.network),
        })?;
        addresses.push(with_prefix(*address, range.subnet.prefix()));
        let way_out = attachment.default_route && !network.internal;
        let family = Family::of(*address);
        let gateway = Route { to: with_prefix(range.gateway, family.bits()), via: None, source: *address };
        let through = [
            Some(canonical(range.subnet)),
            range.services.map(canonical),
            way_out.then(|| family.everything()),
        ];
        let through = through.into_iter().flatten();
        routes.push(gateway);
        routes.extend(through.map(|to| Route { to, via: Some(range.gateway), source: *address }));
    }
    let guard = Guard {
        mac: attachment.mac.unwrap_or_else(|| match attachment.addresses.first() {
            Some(address) => wanted::mac(*address),
            None => wanted::mac_of(end.link().as_str()),
        }),
        addresses: attachment.addresses.clone(),
        prefixes: attachment.sources.clone(),
    };
    let too_long = || SpecError::Sources { ifname: attachment.ifname.clone() };
    Ok(Interface {
        end,
        bridge: network.bridge.clone(),
        bridges: network.bridges().cloned().collect(),
        bridge_mac: wanted::bridge_mac(network),
        ifname: attachment.ifname.clone(),
        alias: guard.alias().ok_or_else(too_long)?,
        guard,
        checked: network.source_check,
        beside_checked: network.source_check,
        mtu: network.mtu,
        isolated: !network.icc,
        addresses,
        routes,
    })
}

/// Runs inside the instance's namespace.
fn set_up_inside(interfaces: &[Interface]) -> Result<(), AttachError> {
    let mut socket =
        Rtnl::open().map_err(|source| NetnsError::Namespace { what: "open a netlink socket in", source })?;
    for interface in interfaces {
        let failed = |source| AttachError::Kernel { ifname: interface.ifname.clone(), source };
        set_up(&mut socket, interface).map_err(failed)?;
    }
    let addresses = || interfaces.iter().flat_map(|interface| &interface.addresses);
    settle(|| addresses().all(|address| route::is_local(&mut socket, address.ip()).unwrap_or(false)));
    Ok(())
}

fn set_up(socket: &mut Rtnl, interface: &Interface) -> Result<(), KernelError> {
    let name = interface.ifname.as_str();
    if interface.addresses.iter().any(IpNetwork::is_ipv6) {
        allow_ipv6(name)?;
    }
    parameters(name)?;
    let link = link::index(socket, name)?;
    // In one burst: addresses need the link up only for their routes, which come last.
    let mut changes = vec![link::set_up("lo", None), link::set_up(name, None)];
    changes
        .extend(interface.addresses.iter().map(|address| route::add_address(link, *address, Prefix::Bare)));
    // Where the gateway is, is known; nobody can tell the instance otherwise.
    changes.extend(interface.gateways().map(|gateway| neighbour::add(link, gateway, interface.bridge_mac)));
    changes.extend(interface.routes.iter().map(|route| {
        let hop = Hop { link, via: route.via, source: Some(route.source) };
        route::add(route.to, hop)
    }));
    socket.changes(changes)
}

/// What the fabric gives is all there is: no routes and addresses from router advertisements, no other ways from
/// redirects. Set before the link is up, and also for interfaces that come later; what a service declares itself is
/// set after this, when its program is launched. Link-local addresses follow from the hardware address, and nobody
/// has to be asked whether they are free.
fn parameters(name: &str) -> Result<(), KernelError> {
    let closed = ["all", "default", name].into_iter().flat_map(|conf| {
        [
            (format!("ipv6/conf/{conf}/accept_ra"), "0"),
            (format!("ipv6/conf/{conf}/accept_redirects"), "0"),
            (format!("ipv4/conf/{conf}/accept_redirects"), "0"),
        ]
    });
    for (key, value) in closed.chain([(format!("ipv6/conf/{name}/accept_dad"), "0")]) {
        match fs::write(format!("/proc/sys/net/{key}"), value) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(KernelError::new(format!("set net/{key} to {value}"), source));
            }
            _ => {}
        }
    }
    clear(&format!("ipv6/conf/{name}/addr_gen_mode"))
}

/// Hosts that switch IPv6 off by default do so in every new namespace; here it was asked for.
fn allow_ipv6(name: &str) -> Result<(), KernelError> {
    clear(&format!("ipv6/conf/{name}/disable_ipv6"))
}

/// Sets a parameter to 0 when it is not. The kernel has a writer of these try again and again until nobody changes links,
/// and most of the time they are 0.
fn clear(key: &str) -> Result<(), KernelError> {
    let path = format!("/proc/sys/net/{key}");
    match fs::read_to_string(&path) {
        Ok(value) if value.trim() != "0" => {
            fs::write(&path, "0").map_err(|source| KernelError::new(format!("set net/{key} to 0"), source))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Range;

    fn network(internal: bool) -> Network {
        let range = |subnet: &str, gateway: &str, services: &str| Range {
            subnet: subnet.parse().unwrap(),
            gateway: gateway.parse().unwrap(),
            services: Some(services.parse().unwrap()),
        };
        Network {
            bridge: LinkName::new("br-a").unwrap(),
            further: Vec::new(),
            ranges: vec![
                range("10.1.1.0/24", "10.1.1.1", "10.9.0.0/26"),
                range("fd00:1::/64", "fd00:1::1", "fd00:9::/80"),
            ],
            internal,
            mtu: 1400,
            icc: true,
            source_check: true,
        }
    }

    fn described(internal: bool, default_route: bool) -> String {
        let attachment = Attachment {
            network: NetworkId::new("a"),
            ifname: LinkName::new("eth0").unwrap(),
            mac: None,
            addresses: vec!["10.1.1.2".parse().unwrap(), "fd00:1::2".parse().unwrap()],
            default_route,
            sources: Vec::new(),
        };
        let end = HostEnd::new("i1", 0).unwrap();
        let interface = interface(end, &attachment, &network(internal)).unwrap();
        let mut lines: Vec<String> =
            interface.addresses.iter().map(|address| format!("{address}\n")).collect();
        lines.extend(interface.routes.iter().map(|route| match route.via {
            Some(via) => format!("{} via {via} src {}\n", route.to, route.source),
            None => format!("{} on the link src {}\n", route.to, route.source),
        }));
        lines.concat()
    }

    #[test]
    fn neighbours_are_reached_through_the_gateway() {
        expect_test::expect![[r#"
            10.1.1.2/24
            fd00:1::2/64
            10.1.1.1/32 on the link src 10.1.1.2
            10.1.1.0/24 via 10.1.1.1 src 10.1.1.2
            10.9.0.0/26 via 10.1.1.1 src 10.1.1.2
            0.0.0.0/0 via 10.1.1.1 src 10.1.1.2
            fd00:1::1/128 on the link src fd00:1::2
            fd00:1::/64 via fd00:1::1 src fd00:1::2
            fd00:9::/80 via fd00:1::1 src fd00:1::2
            ::/0 via fd00:1::1 src fd00:1::2
        "#]]
        .assert_eq(&described(false, true));
    }

    #[test]
    fn an_internal_network_has_no_way_out() {
        assert!(!described(true, true).contains("/0 via"));
        assert_eq!(described(true, true), described(false, false));
    }
}
