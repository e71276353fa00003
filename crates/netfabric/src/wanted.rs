//! What a spec means in terms of links, addresses, routes and entries. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::entry::{Entry, PortKey, Slots};
use crate::family::{Family, TableFamily, canonical, octets, with_prefix};
use crate::guard::{Allowed, Guard};
use crate::observed::{LinkObserved, NeighbourObserved, Observed, RouteObserved, RuleObserved};
use crate::side::{HELD, RELEASED, Side, UPLINK};
use crate::spec::{FabricConfig, FabricSpec, LinkName, Network};

/// A kernel parameter that must have a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sysctl {
    pub(crate) side: Side,
    pub(crate) key: String,
    pub(crate) value: &'static str,
}

/// The parameter without which the host routes nothing of a family.
pub(crate) fn forwarding(family: Family) -> &'static str {
    match family {
        Family::V4 => "net/ipv4/ip_forward",
        Family::V6 => "net/ipv6/conf/all/forwarding",
    }
}

/// The parameter that lets 127/8 out of a link.
pub(crate) fn route_localnet(link: &str) -> String {
    format!("net/ipv4/conf/{link}/route_localnet")
}

/// The parameters of our link on the host, with the family that they need.
pub(crate) fn host_link(link: &str) -> [(Family, String, &'static str); 2] {
    [
        (Family::V4, route_localnet(link), "1"),
        // As for bridges below: what comes from outside would not be forwarded for a second or two.
        (Family::V6, format!("net/ipv6/conf/{link}/accept_dad"), "0"),
    ]
}

/// The parameters of the fabric's own namespace, and those of our link on the host.
///
/// New namespaces take IPv4 parameters from the machine's first one, so each that matters is set.
pub(crate) fn sysctls(config: &FabricConfig) -> Vec<Sysctl> {
    let fabric = [
        (forwarding(Family::V4), "1"),
        (forwarding(Family::V6), "1"),
        ("net/ipv6/conf/all/disable_ipv6", "0"),
        ("net/ipv6/conf/default/disable_ipv6", "0"),
        // While a bridge's link-local address is on probation, nobody's neighbour is looked for: for a
        // second or two nothing would be forwarded.
        ("net/ipv6/conf/default/accept_dad", "0"),
        // Answers may come in by another bridge than the question went out by: an instance in two
        // networks has one default route.
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
        // Everything between two instances takes the way through the fabric (decision 0002).
        ("net/ipv6/conf/all/accept_ra", "0"),
        ("net/ipv6/conf/default/accept_ra", "0"),
        ("net/ipv4/conf/all/send_redirects", "0"),
        ("net/ipv4/conf/default/send_redirects", "0"),
        // A flow that has ended keeps its backend as long as it is remembered, and a client that closed first and comes
        // from the same port again is led there, though that may have ended meanwhile. Late packets come within the
        // second that a replaced instance stays at least.
        ("net/netfilter/nf_conntrack_tcp_timeout_time_wait", "1"),
        ("net/netfilter/nf_conntrack_tcp_timeout_close", "1"),
        // On by default in a new namespace where the kernel has it; it would filter and translate on
        // bridges what the rules expect on routes only.
        ("net/bridge/bridge-nf-call-iptables", "0"),
        ("net/bridge/bridge-nf-call-ip6tables", "0"),
        ("net/bridge/bridge-nf-call-arptables", "0"),
    ];
    let fabric = fabric.map(|(key, value)| Sysctl { side: Side::Fabric, key: key.to_owned(), value });
    let host = host_link(&config.tag.name());
    let host = host.map(|(_, key, value)| Sysctl { side: Side::Host, key, value });
    fabric.into_iter().chain(host).collect()
}

/// The parameters to read: those to set, and whether the host forwards.
pub(crate) fn watched(config: &FabricConfig, side: Side) -> Vec<String> {
    let set = sysctls(config).into_iter().filter(|sysctl| sysctl.side == side).map(|sysctl| sysctl.key);
    let host = Family::ALL.map(forwarding).map(str::to_owned);
    set.chain(host.into_iter().filter(|_| side == Side::Host)).collect()
}

/// A bridge's hardware address: locally administered, from its gateway's address, so that it never
/// changes and two bridges never share it.
pub(crate) fn bridge_mac(network: &Network) -> [u8; 6] {
    network.ranges.first().map_or([0x02, 0x68, 0, 0, 0, 0], |range| mac(range.gateway))
}

/// A hardware address that follows from an address.
pub(crate) fn mac(address: IpAddr) -> [u8; 6] {
    let octets = octets(address);
    let mut mac = [0x02, 0x68, 0, 0, 0, 0];
    mac[2..].copy_from_slice(&octets[octets.len() - 4..]);
    mac
}

/// A hardware address for an interface without addresses.
pub(crate) fn mac_of(name: &str) -> [u8; 6] {
    // FNV-1a: an instance's identifier is chance enough.
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_be_bytes();
    [0x06, 0x68, a, b, c, d]
}

/// Link and address pairs of a side.
pub(crate) fn addresses(
    config: &FabricConfig,
    spec: &FabricSpec,
    observed: &Observed,
    side: Side,
) -> BTreeSet<(String, IpNetwork)> {
    let pairs = Family::ALL.into_iter().filter_map(|family| config.uplink_pair(family));
    match side {
        Side::Host => pairs.map(|pair| (config.tag.name(), pair.host)).collect(),
        Side::Fabric => {
            let gateways = spec.networks.values().flat_map(|network| {
                bridges(network, observed).flat_map(move |bridge| {
                    network.ranges.iter().map(move |range| {
                        // The subnet is on the first bridge, but for what is routed to another.
                        let whole = Family::of(range.gateway).bits();
                        let first = *bridge == network.bridge;
                        let prefix = if first { range.subnet.prefix() } else { whole };
                        (bridge.to_string(), with_prefix(range.gateway, prefix))
                    })
                })
            });
            pairs.map(|pair| (UPLINK.to_owned(), pair.fabric)).chain(gateways).collect()
        }
    }
}

/// A network's bridges: the first, and those of the further ones that were needed.
pub(crate) fn bridges<'a>(
    network: &'a Network,
    observed: &'a Observed,
) -> impl Iterator<Item = &'a LinkName> {
    let there = |name: &&LinkName| observed.fabric.links.get(name.as_str()).is_some_and(|link| link.bridge);
    std::iter::once(&network.bridge).chain(network.further.iter().filter(there))
}

/// Parameters of the link behind which connections wait.
pub(crate) fn held_link() -> Vec<(Family, String, &'static str)> {
    let families = [(Family::V4, "ipv4"), (Family::V6, "ipv6")];
    let all = families.into_iter().flat_map(|(family, name)| {
        [
            // Once a second it is asked who is there; nobody ever answers. After the last time those who wait would be
            // told that there is nobody.
            (family, format!("net/{name}/neigh/{HELD}/mcast_solicit"), "1000000"),
            // Room for about 10,000 connections to one address; the oldest goes first.
            (family, format!("net/{name}/neigh/{HELD}/unres_qlen_bytes"), "16777216"),
        ]
    });
    all.collect()
}

/// Service addresses to which connections wait, with their networks.
pub(crate) fn held<'a>(spec: &'a FabricSpec, observed: &Observed) -> BTreeMap<IpAddr, &'a Network> {
    let mut held = BTreeMap::new();
    for service in spec.service_addresses.iter().filter(|service| service.held) {
        let Some(network) = spec.networks.get(&service.network) else { continue };
        for address in &service.addresses {
            let family = Family::of(*address);
            let led = service.backends.iter().any(|backend| Family::of(*backend) == family);
            if !led && observed.families().any(|known| known == family) {
                held.insert(*address, network);
            }
        }
    }
    held
}

/// Routes of a side: out of the fabric to the host, and from the host to what is in the fabric.
pub(crate) fn routes(
    config: &FabricConfig,
    spec: &FabricSpec,
    observed: &Observed,
    side: Side,
) -> BTreeSet<RouteObserved> {
    let mut routes = if side == Side::Fabric { elsewhere(spec, observed) } else { BTreeSet::new() };
    if side == Side::Fabric {
        let whole = |address: &IpAddr| with_prefix(*address, Family::of(*address).bits());
        let held = held(spec, observed).into_keys();
        routes.extend(held.map(|to| RouteObserved { to: whole(&to), via: None, link: HELD.to_owned() }));
    }
    for family in Family::ALL {
        let Some(pair) = config.uplink_pair(family) else { continue };
        if side == Side::Fabric {
            let via = Some(pair.host.ip());
            routes.insert(RouteObserved { to: family.everything(), via, link: UPLINK.to_owned() });
            continue;
        }
        let subnets =
            spec.networks.values().filter_map(|network| network.range(family)).map(|range| range.subnet);
        let services = config.services().into_iter().filter(|range| Family::of(range.ip()) == family);
        routes.extend(subnets.chain(services).map(|to| RouteObserved {
            to: canonical(to),
            via: Some(pair.fabric.ip()),
            link: config.tag.name(),
        }));
    }
    routes
}

/// The policy rules that the kernel gives a new namespace, for the families that it has: its own addresses, then the
/// main table, and for IPv4 one that nobody fills (ip-rule(8)).
pub(crate) fn policy(observed: &Observed) -> BTreeSet<RuleObserved> {
    let rules = [(Family::V4, 0, 255), (Family::V4, 32766, 254), (Family::V4, 32767, 253)];
    let rules = rules.into_iter().chain([(Family::V6, 0, 255), (Family::V6, 32766, 254)]);
    let rules = rules.map(|(family, priority, table)| RuleObserved { family, priority, table });
    rules.filter(|rule| observed.families().any(|family| family == rule.family)).collect()
}

/// The network that a link to an instance belongs to, by the addresses noted down at it; `None` where none are.
pub(crate) fn network_of<'a>(spec: &'a FabricSpec, link: &LinkObserved) -> Option<&'a Network> {
    let address = *link.guard.as_ref()?.addresses.first()?;
    spec.networks.values().find(|network| network.ranges.iter().any(|range| range.subnet.contains(address)))
}

/// Routes to the instances on further bridges.
fn elsewhere(spec: &FabricSpec, observed: &Observed) -> BTreeSet<RouteObserved> {
    let further = ports_of_networks(spec, observed)
        .filter(|(_, network, link)| link.master.as_deref() != Some(network.bridge.as_str()));
    let noted = further.filter_map(|(_, _, link)| Some((link.master.as_ref()?, link.guard.as_ref()?)));
    noted
        .flat_map(|(bridge, guard)| {
            guard.addresses.iter().map(|address| RouteObserved {
                to: with_prefix(*address, Family::of(*address).bits()),
                via: None,
                link: bridge.clone(),
            })
        })
        .collect()
}

/// Entries of both sides' sets, for the families that the kernel has.
pub(crate) fn entries(config: &FabricConfig, spec: &FabricSpec, observed: &Observed) -> BTreeSet<Entry> {
    let mut entries = BTreeSet::new();
    for network in spec.networks.values() {
        for range in &network.ranges {
            entries.extend(passes(network, observed, Family::of(range.subnet.ip())));
        }
    }
    for service in &spec.service_addresses {
        let families: Vec<Family> = service.addresses.iter().copied().map(Family::of).collect();
        let own = service.backends.iter().filter(|backend| families.contains(&Family::of(**backend)));
        entries.extend(own.map(|address| Entry::Own { address: *address }));
    }
    for (service, network) in held(spec, observed) {
        let mut from: Vec<String> = Vec::new();
        if network.icc {
            from.extend(bridges(network, observed).map(ToString::to_string));
        }
        from.extend((!network.internal).then(|| UPLINK.to_owned()));
        entries.extend(from.into_iter().map(|from| Entry::Held { from, service }));
    }
    entries.extend(ports(config, spec));
    entries.extend(sources(spec, observed));
    let known: Vec<TableFamily> = tables(spec, observed, Side::Fabric);
    entries.retain(|entry| known.contains(&entry.family()));
    entries
}

/// The tables that a side has: those of the families that the kernel knows, and in the fabric one that checks
/// sources, from the first network on that wants it.
pub(crate) fn tables(spec: &FabricSpec, observed: &Observed, side: Side) -> Vec<TableFamily> {
    let checks = spec.networks.values().any(|network| network.source_check)
        || observed.fabric.tables.contains_key(&TableFamily::Bridge);
    let bridge = (side == Side::Fabric && checks).then_some(TableFamily::Bridge);
    observed.families().map(TableFamily::Ip).chain(bridge).collect()
}

/// What may come in by each port. A port without a note was made by an older version, which checked nothing.
fn sources<'a>(spec: &'a FabricSpec, observed: &'a Observed) -> impl Iterator<Item = Entry> + 'a {
    ports_of_networks(spec, observed).flat_map(|(port, network, link)| {
        let guard = link.guard.as_ref().filter(|_| network.source_check);
        let allowed = guard.map_or_else(|| [Allowed::Anything].into(), Guard::allowed);
        allowed.into_iter().map(move |allowed| Entry::Source { port: port.to_owned(), allowed })
    })
}

/// Neighbours that are known beforehand. In a network that doesn't check, addresses may move from one instance to
/// another, so there they are asked for.
pub(crate) fn neighbours(spec: &FabricSpec, observed: &Observed) -> BTreeSet<NeighbourObserved> {
    let checked = ports_of_networks(spec, observed).filter(|(_, network, _)| network.source_check);
    let noted = checked.filter_map(|(_, _, link)| Some((link.master.as_ref()?, link.guard.as_ref()?)));
    let families: Vec<Family> = observed.families().collect();
    noted
        .flat_map(|(bridge, guard)| {
            let known = guard.addresses.iter().filter(|address| families.contains(&Family::of(**address)));
            known.map(|address| NeighbourObserved { link: bridge.clone(), address: *address, mac: guard.mac })
        })
        .collect()
}

/// Every port of the spec's bridges, with its network.
fn ports_of_networks<'a>(
    spec: &'a FabricSpec,
    observed: &'a Observed,
) -> impl Iterator<Item = (&'a str, &'a Network, &'a LinkObserved)> {
    let networks: BTreeMap<&str, &Network> = spec
        .networks
        .values()
        .flat_map(|network| network.bridges().map(move |bridge| (bridge.as_str(), network)))
        .collect();
    observed.fabric.links.iter().filter_map(move |(name, link)| {
        let network = networks.get(link.master.as_deref()?)?;
        Some((name.as_str(), *network, link))
    })
}

/// The backends of each service address that has one.
pub(crate) fn services(spec: &FabricSpec, observed: &Observed) -> BTreeMap<IpAddr, Slots> {
    let mut services = BTreeMap::new();
    for service in &spec.service_addresses {
        for address in &service.addresses {
            let family = Family::of(*address);
            let backends: BTreeSet<IpAddr> =
                service.backends.iter().copied().filter(|backend| Family::of(*backend) == family).collect();
            if !backends.is_empty() && observed.families().any(|known| known == family) {
                services.insert(*address, Slots::fill(&backends));
            }
        }
    }
    services
}

fn passes(network: &Network, observed: &Observed, family: Family) -> Vec<Entry> {
    let bridges: Vec<&str> = bridges(network, observed).map(LinkName::as_str).collect();
    let pass = |from: &str, to: &str| Entry::Pass { family, from: from.to_owned(), to: to.to_owned() };
    let mut passes = Vec::new();
    for bridge in &bridges {
        if network.icc {
            passes.extend(bridges.iter().map(|other| pass(bridge, other)));
        }
        if !network.internal {
            passes.extend([pass(bridge, UPLINK), pass(UPLINK, bridge)]);
        }
        // Connections that waited were allowed to when they began.
        passes.extend(observed.fabric.links.contains_key(RELEASED).then(|| pass(RELEASED, bridge)));
    }
    passes
}

fn ports(config: &FabricConfig, spec: &FabricSpec) -> Vec<Entry> {
    let mut entries = Vec::new();
    for port in &spec.ports {
        for target in &port.targets {
            let family = Family::of(target.ip());
            // Any address of a family is every address of that family.
            let address = port.host_ip.filter(|ip| !ip.is_unspecified());
            let listens = port.host_ip.is_none_or(|ip| Family::of(ip) == family);
            if listens && config.uplink_pair(family).is_some() {
                let at = PortKey { family, address, protocol: port.protocol, port: port.host_port };
                entries.push(Entry::Port { at, target: *target });
            }
        }
    }
    entries
}
