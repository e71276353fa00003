//! Joining an instance's namespace to networks.
//!
//! An instance's address carries its subnet's prefix length, but the subnet isn't on the link: every
//! packet to a neighbour goes through the fabric, and so does its answer. That is what makes service
//! addresses work between instances of one network, with the client's address kept (decision 0002).
//! Broadcast and multicast still reach the whole bridge.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;

use crate::fabric::Fabric;
use crate::family::{Family, canonical, with_prefix};
use crate::netlink::link::{self, Peer, Veth};
use crate::netlink::route::{self, Hop, Prefix};
use crate::netlink::{KernelError, Socket};
use crate::netns::{self, NetnsError};
use crate::place;
use crate::spec::{Attachment, HostEnd, LinkName, Network, NetworkId, SpecError};
use crate::wanted;

const SETTLE: Duration = Duration::from_millis(50);
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
    /// Its hardware address; `None` when the kernel chose one.
    pub mac: Option<[u8; 6]>,
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
        let interfaces = interfaces(request)?;
        for interface in &interfaces {
            let failed = |source| AttachError::Kernel { ifname: interface.ifname.clone(), source };
            self.link(interface, request.netns).map_err(failed)?;
        }
        netns::enter(request.netns, || set_up_inside(&interfaces))??;
        self.settle(&interfaces);
        let made = |interface: Interface| Attached {
            end: interface.end,
            ifname: interface.ifname,
            mac: interface.mac,
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

    fn link(&self, interface: &Interface, netns: BorrowedFd<'_>) -> Result<(), KernelError> {
        let mut sockets = self.fabric_place().sockets();
        let socket = &mut sockets.route;
        let name = interface.end.link().as_str();
        let master = link::index(socket, interface.bridge.as_str())?;
        let veth = Veth { name, mtu: interface.mtu, master: Some(master) };
        let peer = Peer { name: interface.ifname.as_str(), netns, mac: interface.mac };
        match socket.request(link::veth(veth, peer)) {
            Err(error) if error.is(libc::EEXIST) => {
                link::remove(socket, name)?;
                socket.request(link::veth(veth, peer))?;
            }
            answer => drop(answer?),
        }
        if interface.isolated {
            socket.request(link::isolate(name, true))?;
        }
        Ok(())
    }
}

/// One interface in full: what an attachment means in its network.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    end: HostEnd,
    bridge: LinkName,
    ifname: LinkName,
    mac: Option<[u8; 6]>,
    mtu: u32,
    isolated: bool,
    addresses: Vec<IpNetwork>,
    routes: Vec<Route>,
}

impl Interface {
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
            interface(HostEnd::new(request.instance, index)?, attachment, network)
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
    Ok(Interface {
        end,
        bridge: network.bridge.clone(),
        ifname: attachment.ifname.clone(),
        mac: attachment.mac.or(attachment.addresses.first().map(|address| wanted::mac(*address))),
        mtu: network.mtu,
        isolated: !network.icc,
        addresses,
        routes,
    })
}

/// Runs inside the instance's namespace.
fn set_up_inside(interfaces: &[Interface]) -> Result<(), AttachError> {
    let socket = place::route_socket();
    let mut socket =
        socket.map_err(|source| NetnsError::Namespace { what: "open a netlink socket in", source })?;
    for interface in interfaces {
        let failed = |source| AttachError::Kernel { ifname: interface.ifname.clone(), source };
        set_up(&mut socket, interface).map_err(failed)?;
    }
    let addresses = || interfaces.iter().flat_map(|interface| &interface.addresses);
    settle(|| addresses().all(|address| route::is_local(&mut socket, address.ip()).unwrap_or(false)));
    Ok(())
}

fn set_up(socket: &mut Socket, interface: &Interface) -> Result<(), KernelError> {
    let name = interface.ifname.as_str();
    if interface.addresses.iter().any(IpNetwork::is_ipv6) {
        allow_ipv6(name)?;
    }
    let link = link::index(socket, name)?;
    // One system call for all: addresses need the link up only for their routes, which come last.
    let mut requests = vec![link::set_up("lo", None), link::set_up(name, None)];
    requests
        .extend(interface.addresses.iter().map(|address| route::add_address(link, *address, Prefix::Bare)));
    requests.extend(interface.routes.iter().map(|route| {
        let hop = Hop { link, via: route.via, source: Some(route.source) };
        route::add(route.to, hop)
    }));
    socket.requests(requests).map(drop)
}

/// Hosts that switch IPv6 off by default do so in every new namespace; here it was asked for.
fn allow_ipv6(name: &str) -> Result<(), KernelError> {
    let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    match fs::read_to_string(&path) {
        Ok(value) if value.trim() == "1" => fs::write(&path, "0")
            .map_err(|source| KernelError::new(format!("switch on IPv6 on {name}"), source)),
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
            ranges: vec![
                range("10.1.1.0/24", "10.1.1.1", "10.9.0.0/26"),
                range("fd00:1::/64", "fd00:1::1", "fd00:9::/80"),
            ],
            internal,
            mtu: 1400,
            icc: true,
        }
    }

    fn described(internal: bool, default_route: bool) -> String {
        let attachment = Attachment {
            network: NetworkId::new("a"),
            ifname: LinkName::new("eth0").unwrap(),
            mac: None,
            addresses: vec!["10.1.1.2".parse().unwrap(), "fd00:1::2".parse().unwrap()],
            default_route,
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
