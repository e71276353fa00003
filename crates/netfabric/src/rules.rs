//! The static rules: what the tables of both sides do, whatever is running.
//!
//! Everything that changes is an element of a set or map; rules are written once. The tables on the
//! fabric's side isolate networks and translate service addresses; those on the host's side publish
//! ports, masquerade what leaves, and keep everybody else out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_netfilter::nftables::InetHookNumber;

use crate::family::{Family, TableFamily, octets, with_prefix};
use crate::nft::expr::{Ct, Expr, Field, Meta, link_name};
use crate::nft::table::{Chain, ChainKind, Datatype, Set, Table};
use crate::side::{HELD, Side};
use crate::spec::FabricConfig;

pub(crate) mod sources;

/// Slots of one service address: each new connection takes one at random.
pub(crate) const SLOTS: u32 = 64;

/// Pairs of links between which packets may pass.
pub(crate) const LINKS: &str = "links";
/// Pairs of an instance's address with itself.
pub(crate) const OWN: &str = "own";
/// Links and the service addresses for which connections from them wait.
pub(crate) const HELD_FROM: &str = "held_from";
/// Service address and slot to backend.
pub(crate) const SERVICES: &str = "services";
/// Protocol and port, at every address of the host, to a target.
pub(crate) const PORTS: &str = "ports";
/// Address, protocol and port to a target.
pub(crate) const PORTS_AT: &str = "ports_at";

/// Priorities of the hooks (linux/netfilter_ipv4.h).
const RAW: i32 = -300;
const DSTNAT: i32 = -100;
const FILTER: i32 = 0;
const SRCNAT: i32 = 100;

/// Registers: addresses and names are loaded at 0, what a map gives at 8, behind the longest key.
const DATA: u32 = 8;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Flags of TCP, RFC 9293, section 3.1.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
/// `RTN_LOCAL`, linux/rtnetlink.h.
const LOCAL: u32 = 2;

/// The table of a side and family; `None` where none is needed.
pub(crate) fn table(config: &FabricConfig, side: Side, family: TableFamily) -> Option<Table> {
    match (side, family) {
        (Side::Fabric, TableFamily::Ip(family)) => Some(fabric(config, family)),
        (Side::Fabric, TableFamily::Bridge) => Some(sources::table(config)),
        (Side::Host, TableFamily::Ip(family)) => config.uplink_pair(family).map(|_| host(config, family)),
        (Side::Host, TableFamily::Bridge) => None,
    }
}

fn fabric(config: &FabricConfig, family: Family) -> Table {
    let service_range = config.services().into_iter().find(|range| Family::of(range.ip()) == family);
    let (links, own, held, services) = fabric_sets(family);
    Table {
        family: family.into(),
        name: config.tag.name(),
        sets: vec![links, own, held, services],
        chains: vec![
            chain(
                "untracked",
                ChainKind::Filter,
                InetHookNumber::PreRouting,
                RAW,
                vec![zone_of_backend(family), hold(family)],
            ),
            chain("prerouting", ChainKind::Nat, InetHookNumber::PreRouting, DSTNAT, to_backend(family)),
            chain(
                "forward",
                ChainKind::Filter,
                InetHookNumber::Forward,
                FILTER,
                forward(family, service_range),
            ),
            chain("output", ChainKind::Filter, InetHookNumber::LocalOut, FILTER, vec![no_redirects(family)]),
            chain(
                "postrouting",
                ChainKind::Nat,
                InetHookNumber::PostRouting,
                SRCNAT,
                vec![to_itself(family)],
            ),
        ],
    }
}

fn fabric_sets(family: Family) -> (Set, Set, Set, Set) {
    let links = Set { name: LINKS, key: &[Datatype::LinkName, Datatype::LinkName], data: &[] };
    match family {
        Family::V4 => (
            links,
            Set { name: OWN, key: &[Datatype::Ipv4, Datatype::Ipv4], data: &[] },
            Set { name: HELD_FROM, key: &[Datatype::LinkName, Datatype::Ipv4], data: &[] },
            Set { name: SERVICES, key: &[Datatype::Ipv4, Datatype::Number], data: &[Datatype::Ipv4] },
        ),
        Family::V6 => (
            links,
            Set { name: OWN, key: &[Datatype::Ipv6, Datatype::Ipv6], data: &[] },
            Set { name: HELD_FROM, key: &[Datatype::LinkName, Datatype::Ipv6], data: &[] },
            Set { name: SERVICES, key: &[Datatype::Ipv6, Datatype::Number], data: &[Datatype::Ipv6] },
        ),
    }
}

/// A connection to a service address goes to the backend in a slot taken at random; all datagrams of one socket go to
/// that in the slot which follows from their source, as long as it is there (see [`zone_of_backend`]).
fn to_backend(family: Family) -> Vec<Vec<Expr>> {
    let mut datagrams = slot_of_source(family);
    datagrams.push(Expr::Dnat { family, address: DATA, port: None });
    let connections = vec![
        Expr::Load { field: Field::destination(family), to: 0 },
        Expr::Random { modulus: SLOTS, to: registers(family) },
        Expr::Lookup { set: SERVICES, key: 0, data: Some(DATA) },
        Expr::Dnat { family, address: DATA, port: None },
    ];
    vec![datagrams, connections]
}

/// Every datagram is tracked in a zone of the backend that it goes to now. When a service gets another backend, the next
/// datagram of a socket begins a flow in another zone, to the new one; the flow to the old one is left as it is, so that
/// answers which are still to come are translated back (decision 0023).
fn zone_of_backend(family: Family) -> Vec<Expr> {
    let mut rule = slot_of_source(family);
    rule.extend(zone_of_address(family));
    rule
}

/// UDP alone. Loads the backend in the slot of the packet's source at [`DATA`].
fn slot_of_source(family: Family) -> Vec<Expr> {
    let width = registers(family);
    vec![
        Expr::Meta { key: Meta::Protocol, to: 0 },
        equal(vec![UDP]),
        Expr::Load { field: Field::source(family), to: DATA },
        Expr::Load { field: Field::SOURCE_PORT, to: DATA + width },
        Expr::Hash { from: DATA, len: 4 * (width + 1), modulus: SLOTS, to: width },
        Expr::Load { field: Field::destination(family), to: 0 },
        Expr::Lookup { set: SERVICES, key: 0, data: Some(DATA) },
    ]
}

/// The zone of the address at [`DATA`]: the number that its last two bytes make. Backends of one service are in one
/// network, in which no two have the same when it is no larger than 65,536 addresses.
fn zone_of_address(family: Family) -> [Expr; 2] {
    let last = DATA + registers(family) - 1;
    [Expr::SecondHalf { register: last }, Expr::Zone { register: last }]
}

/// What opens a connection to a service address that is held isn't tracked, and so not translated, until it has waited:
/// when it comes back, it is new (decision 0024).
fn hold(family: Family) -> Vec<Expr> {
    let mut rule = opens_held(family);
    rule.push(Expr::NoTrack);
    rule
}

fn opens_held(family: Family) -> Vec<Expr> {
    vec![
        Expr::Meta { key: Meta::Protocol, to: 0 },
        equal(vec![TCP]),
        Expr::Load { field: Field::TCP_FLAGS, to: 0 },
        Expr::Mask { register: 0, mask: vec![SYN | ACK | RST | FIN] },
        equal(vec![SYN]),
        Expr::Meta { key: Meta::InName, to: 0 },
        Expr::Load { field: Field::destination(family), to: 4 },
        Expr::Lookup { set: HELD_FROM, key: 0, data: None },
    ]
}

/// What goes to where connections wait. Rules change between two hooks of a packet's way, so two kinds of packets are
/// treated as before the change: one that was told to wait, and is held no more, waits all the same, and is released in a
/// moment; one that was tracked although it is held now can't wait, and is dropped: its client sends it again.
fn to_held(family: Family) -> [Vec<Expr>; 2] {
    let there = || [Expr::Meta { key: Meta::OutName, to: 0 }, equal(link_name(HELD))];
    let waits = there().into_iter().chain(tracked(Ct::State, Ct::UNTRACKED, Expr::Accept));
    let tracked = there().into_iter().chain(opens_held(family)).chain([Expr::Drop]);
    [waits.collect(), tracked.collect()]
}

fn forward(family: Family, service_range: Option<IpNetwork>) -> Vec<Vec<Expr>> {
    let mut rules = vec![
        tracked(Ct::State, Ct::ESTABLISHED | Ct::RELATED, Expr::Accept),
        // What connection tracking can't place isn't translated back, and would reach the client from
        // an address it never asked.
        tracked(Ct::State, Ct::INVALID, Expr::Drop),
    ];
    rules.extend(to_held(family));
    // Still addressed to a service: it has no backend.
    if let Some(range) = service_range {
        let mut reset = within(Field::destination(family), range);
        reset.extend([Expr::Meta { key: Meta::Protocol, to: 0 }, equal(vec![TCP]), Expr::Reset]);
        let mut unreachable = within(Field::destination(family), range);
        unreachable.push(Expr::Unreachable { code: port_unreachable(family) });
        rules.extend([reset, unreachable]);
    }
    rules.push(vec![
        Expr::Meta { key: Meta::InName, to: 0 },
        Expr::Meta { key: Meta::OutName, to: 4 },
        Expr::Lookup { set: LINKS, key: 0, data: None },
        Expr::Accept,
    ]);
    rules.push(vec![Expr::Unreachable { code: prohibited(family) }]);
    rules
}

/// Traffic between instances of one network goes through the fabric and back out of the same bridge.
/// The kernel would tell them of the shorter way, on which service addresses aren't translated back.
fn no_redirects(family: Family) -> Vec<Expr> {
    let (protocol, redirect) = match family {
        Family::V4 => (1, 5),
        Family::V6 => (58, 137),
    };
    vec![
        Expr::Meta { key: Meta::Protocol, to: 0 },
        equal(vec![protocol]),
        Expr::Load { field: Field::ICMP_TYPE, to: 0 },
        equal(vec![redirect]),
        Expr::Drop,
    ]
}

/// An instance that reached itself through its service address would answer itself directly; a foreign
/// source makes it answer through the fabric, which translates back.
fn to_itself(family: Family) -> Vec<Expr> {
    vec![
        Expr::Load { field: Field::source(family), to: 0 },
        Expr::Load { field: Field::destination(family), to: registers(family) },
        Expr::Lookup { set: OWN, key: 0, data: None },
        Expr::Masquerade,
    ]
}

fn host(config: &FabricConfig, family: Family) -> Table {
    let link = config.tag.name();
    let (ports, ports_at) = host_sets(family);
    let mut chains = vec![
        chain("zones", ChainKind::Filter, InetHookNumber::PreRouting, RAW, zone_of_target(family)),
        chain("own_zones", ChainKind::Filter, InetHookNumber::LocalOut, RAW, zone_of_target(family)),
        chain("prerouting", ChainKind::Nat, InetHookNumber::PreRouting, DSTNAT, publish(family)),
        chain("output", ChainKind::Nat, InetHookNumber::LocalOut, DSTNAT, publish(family)),
        chain("forward", ChainKind::Filter, InetHookNumber::Forward, FILTER, keep_out(&link)),
        chain("postrouting", ChainKind::Nat, InetHookNumber::PostRouting, SRCNAT, masquerade(family, &link)),
    ];
    if family == Family::V4 {
        chains.insert(0, chain("guard", ChainKind::Filter, InetHookNumber::PreRouting, RAW, guard()));
    }
    Table { family: family.into(), name: link, sets: vec![ports, ports_at], chains }
}

fn host_sets(family: Family) -> (Set, Set) {
    use Datatype::{Ipv4, Ipv6, Port, Protocol};
    match family {
        Family::V4 => (
            Set { name: PORTS, key: &[Protocol, Port], data: &[Ipv4, Port] },
            Set { name: PORTS_AT, key: &[Ipv4, Protocol, Port], data: &[Ipv4, Port] },
        ),
        Family::V6 => (
            Set { name: PORTS, key: &[Protocol, Port], data: &[Ipv6, Port] },
            Set { name: PORTS_AT, key: &[Ipv6, Protocol, Port], data: &[Ipv6, Port] },
        ),
    }
}

/// Published ports: first those of one address, then those of every address.
fn publish(family: Family) -> Vec<Vec<Expr>> {
    let translate = |mut rule: Vec<Expr>| {
        rule.push(Expr::Dnat { family, address: DATA, port: Some(DATA + registers(family)) });
        rule
    };
    target_of_port(family).map(translate).into()
}

/// As in the fabric ([`zone_of_backend`]), for ports that lead to another target or to one at all.
fn zone_of_target(family: Family) -> Vec<Vec<Expr>> {
    let rule = |to_target: Vec<Expr>| {
        let udp = [Expr::Meta { key: Meta::Protocol, to: 0 }, equal(vec![UDP])];
        udp.into_iter().chain(to_target).chain(zone_of_address(family)).chain([Expr::Accept]).collect()
    };
    target_of_port(family).map(rule).into()
}

/// Loads where a published port leads at [`DATA`].
fn target_of_port(family: Family) -> [Vec<Expr>; 2] {
    let width = registers(family);
    let to_host = vec![Expr::DestinationType { to: 0 }, equal(LOCAL.to_ne_bytes().to_vec())];
    let port_after = |register: u32| {
        [
            Expr::Meta { key: Meta::Protocol, to: register },
            Expr::Load { field: Field::DESTINATION_PORT, to: register + 1 },
        ]
    };
    let to_target = |set| Expr::Lookup { set, key: 0, data: Some(DATA) };
    let mut at_address = to_host.clone();
    at_address.push(Expr::Load { field: Field::destination(family), to: 0 });
    at_address.extend(port_after(width));
    at_address.push(to_target(PORTS_AT));
    let mut everywhere = to_host;
    everywhere.extend(port_after(0));
    everywhere.push(to_target(PORTS));
    [at_address, everywhere]
}

/// Only what is published enters from other machines, whatever routes they have.
fn keep_out(link: &str) -> Vec<Vec<Expr>> {
    let to_fabric = [Expr::Meta { key: Meta::OutName, to: 0 }, equal(link_name(link))];
    let after = |rest: Vec<Expr>| to_fabric.iter().cloned().chain(rest).collect();
    vec![
        after(tracked(Ct::State, Ct::ESTABLISHED | Ct::RELATED, Expr::Accept)),
        after(tracked(Ct::Status, Ct::DNAT, Expr::Accept)),
        after(vec![Expr::Drop]),
    ]
}

fn masquerade(family: Family, link: &str) -> Vec<Vec<Expr>> {
    // Also what comes back in through a published port: it must return through the host.
    let mut rules =
        vec![vec![Expr::Meta { key: Meta::InName, to: 0 }, equal(link_name(link)), Expr::Masquerade]];
    // No answer to a loopback address would find its way back.
    let mut from_localhost = vec![Expr::Meta { key: Meta::OutName, to: 0 }, equal(link_name(link))];
    from_localhost.extend(within(Field::source(family), loopback(family)));
    from_localhost.push(Expr::Masquerade);
    rules.push(from_localhost);
    rules
}

/// `route_localnet` lets 127/8 out of our link, so translation could let it in from any: a neighbour
/// that addresses 127.0.0.1 to this machine would reach ports published on localhost only. Of IPv6 the kernel itself
/// drops what comes from or to `::1` by any link but loopback's.
fn guard() -> Vec<Vec<Expr>> {
    [Field::destination(Family::V4), Field::source(Family::V4)]
        .into_iter()
        .map(|field| {
            let mut rule = vec![
                Expr::Meta { key: Meta::InName, to: 0 },
                Expr::NotEqual { register: 0, value: link_name("lo") },
            ];
            rule.extend(within(field, loopback(Family::V4)));
            rule.push(Expr::Drop);
            rule
        })
        .collect()
}

fn loopback(family: Family) -> IpNetwork {
    match family {
        Family::V4 => with_prefix(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
        Family::V6 => with_prefix(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    }
}

fn chain(
    name: &'static str,
    kind: ChainKind,
    hook: InetHookNumber,
    priority: i32,
    rules: Vec<Vec<Expr>>,
) -> Chain {
    Chain { name, kind, hook, priority, rules }
}

fn equal(value: Vec<u8>) -> Expr {
    Expr::Equal { register: 0, value }
}

fn tracked(key: Ct, bits: u32, then: Expr) -> Vec<Expr> {
    vec![
        Expr::Ct { key, to: 0 },
        Expr::Mask { register: 0, mask: bits.to_ne_bytes().to_vec() },
        Expr::NotEqual { register: 0, value: vec![0; 4] },
        then,
    ]
}

fn within(field: Field, range: IpNetwork) -> Vec<Expr> {
    vec![
        Expr::Load { field, to: 0 },
        Expr::Mask { register: 0, mask: octets(range.mask()) },
        equal(octets(range.network())),
    ]
}

/// Registers that an address occupies.
fn registers(family: Family) -> u32 {
    match family {
        Family::V4 => 1,
        Family::V6 => 4,
    }
}

/// RFC 792 and RFC 4443.
fn port_unreachable(family: Family) -> u8 {
    match family {
        Family::V4 => 3,
        Family::V6 => 4,
    }
}

/// "Communication administratively prohibited": RFC 1812, section 5.2.7.1, and RFC 4443.
fn prohibited(family: Family) -> u8 {
    match family {
        Family::V4 => 13,
        Family::V6 => 1,
    }
}
