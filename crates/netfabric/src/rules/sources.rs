//! The bridge table: what an instance may send, by the port that its frames come in by.
//!
//! A frame passes when the port is unchecked, or when its hardware address, its source address and, in ARP and
//! neighbour discovery, the address that it claims are the port's own. All of it is looked up in sets by port
//! and address, so the number of instances doesn't matter. What no rule knows is dropped: frames with a VLAN tag,
//! and protocols other than ARP, IPv4 and IPv6.

use netlink_packet_netfilter::nftables::InetHookNumber;

use super::{chain, equal, registers};
use crate::family::{Family, TableFamily};
use crate::nft::expr::{Expr, Field, Meta};
use crate::nft::table::{ChainKind, Datatype, Set, Table};
use crate::spec::FabricConfig;

/// Ports whose frames pass unseen.
pub(crate) const UNCHECKED: &str = "unchecked";
/// Port and hardware address.
pub(crate) const MACS: &str = "macs";
/// Port and IPv4 address.
pub(crate) const SOURCES4: &str = "sources4";
/// Port and IPv6 address.
pub(crate) const SOURCES6: &str = "sources6";
/// Port, first address and length of a declared IPv4 prefix.
pub(crate) const PREFIXES4: &str = "prefixes4";
/// Port, first address and length of a declared IPv6 prefix.
pub(crate) const PREFIXES6: &str = "prefixes6";

/// A prefix is looked up by its length, one rule for each. With every fourth length alone there are few rules,
/// and a prefix between two of them is at most eight of the longer.
pub(crate) const PREFIX_STEP: u8 = 4;

/// `NF_BR_PRI_FILTER_BRIDGED`, linux/netfilter_bridge.h.
const FILTER: i32 = -200;
/// The port's name fills the first registers of each key.
const AFTER_PORT: u32 = 4;

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// RFC 792.
const REDIRECT4: u8 = 5;
/// RFC 4861.
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT6: u8 = 137;
/// What a host without an address may tell of its groups: RFC 3590 and RFC 3810.
const LISTENER_REPORTS: [u8; 3] = [131, 132, 143];

/// Client and server ports of RFC 2131, and of RFC 8415.
const DHCP: (u16, u16) = (68, 67);
const DHCPV6: (u16, u16) = (546, 547);

/// The table that checks the sources of frames.
pub(super) fn table(config: &FabricConfig) -> Table {
    let check = chain("prerouting", ChainKind::Filter, InetHookNumber::PreRouting, FILTER, rules());
    Table { family: TableFamily::Bridge, name: config.tag.name(), sets: sets(), chains: vec![check] }
}

fn sets() -> Vec<Set> {
    use Datatype::{Ipv4, Ipv6, LinkName, Mac, Number};
    let set = |name, key| Set { name, key, data: &[] };
    vec![
        set(UNCHECKED, &[LinkName]),
        set(MACS, &[LinkName, Mac]),
        set(SOURCES4, &[LinkName, Ipv4]),
        set(SOURCES6, &[LinkName, Ipv6]),
        set(PREFIXES4, &[LinkName, Ipv4, Number]),
        set(PREFIXES6, &[LinkName, Ipv6, Number]),
    ]
}

fn rules() -> Vec<Vec<Expr>> {
    let mut rules = vec![
        vec![port(), Expr::Lookup { set: UNCHECKED, key: 0, data: None }, Expr::Accept],
        vec![port(), load(Field::ETHER_SOURCE), Expr::NotIn { set: MACS, key: 0 }, Expr::Drop],
    ];
    rules.extend(ipv4());
    rules.extend(ipv6());
    rules.extend(arp());
    for family in Family::ALL {
        rules.extend(prefixes(family));
    }
    rules.push(vec![Expr::Drop]);
    rules
}

fn ipv4() -> Vec<Vec<Expr>> {
    let (client, server) = DHCP;
    let unspecified = |rest: Vec<Expr>| {
        let source = [Expr::Load { field: Field::source(Family::V4), to: 0 }, equal(vec![0; 4])];
        of(IPV4, source.into_iter().chain(rest).collect())
    };
    vec![
        // Only the fabric gives addresses.
        of(IPV4, udp(server, client, Expr::Drop)),
        of(IPV4, icmp(ICMP, REDIRECT4, vec![Expr::Drop])),
        of(IPV4, own(Family::V4)),
        unspecified(udp(client, server, Expr::Accept)),
        unspecified(vec![Expr::Meta { key: Meta::Protocol, to: 0 }, equal(vec![IGMP]), Expr::Accept]),
    ]
}

fn ipv6() -> Vec<Vec<Expr>> {
    let (client, server) = DHCPV6;
    let of_ipv6 = |kind, then| of(IPV6, icmp(ICMPV6, kind, then));
    let unspecified = |kind, then: Vec<Expr>| {
        let source = [Expr::Load { field: Field::source(Family::V6), to: 0 }, equal(vec![0; 16])];
        of_ipv6(kind, source.into_iter().chain(then).collect())
    };
    let target = |last: [Expr; 2]| [port(), load(Field::ND_TARGET)].into_iter().chain(last).collect();
    let claims_other = target([Expr::NotIn { set: SOURCES6, key: 0 }, Expr::Drop]);
    let claims_own = target([Expr::Lookup { set: SOURCES6, key: 0, data: None }, Expr::Accept]);
    let mut rules = vec![
        of(IPV6, udp(server, client, Expr::Drop)),
        of_ipv6(ROUTER_ADVERTISEMENT, vec![Expr::Drop]),
        of_ipv6(REDIRECT6, vec![Expr::Drop]),
        of_ipv6(NEIGHBOUR_ADVERTISEMENT, claims_other),
        of(IPV6, own(Family::V6)),
        // Duplicate address detection: whoever asks for a neighbour's address makes the neighbour give it up.
        unspecified(NEIGHBOUR_SOLICITATION, claims_own),
        unspecified(ROUTER_SOLICITATION, vec![Expr::Accept]),
    ];
    rules.extend(LISTENER_REPORTS.map(|kind| unspecified(kind, vec![Expr::Accept])));
    rules
}

fn arp() -> [Vec<Expr>; 2] {
    // Ethernet and IPv4, with addresses of 6 and 4 bytes.
    let known = [Expr::Load { field: Field::ARP_TYPES, to: 0 }, equal(vec![0, 1, 8, 0, 6, 4])];
    let sender = [port(), load(Field::ARP_SENDER_MAC), Expr::Lookup { set: MACS, key: 0, data: None }];
    let claim = |rest: Vec<Expr>| {
        let steps = known.iter().cloned().chain(sender.iter().cloned()).chain(rest);
        of(ARP, steps.chain([Expr::Accept]).collect())
    };
    [
        claim(vec![load(Field::ARP_SENDER), Expr::Lookup { set: SOURCES4, key: 0, data: None }]),
        // A probe, RFC 5227, claims nothing.
        claim(vec![Expr::Load { field: Field::ARP_SENDER, to: 0 }, equal(vec![0; 4])]),
    ]
}

/// The source address is the port's own. The transport protocol is asked for too: where the kernel finds none
/// behind a packet's headers, the rules above couldn't look into it, and neither may it pass here.
fn own(family: Family) -> Vec<Expr> {
    let set = match family {
        Family::V4 => SOURCES4,
        Family::V6 => SOURCES6,
    };
    vec![
        Expr::Meta { key: Meta::Protocol, to: 0 },
        port(),
        load(Field::source(family)),
        Expr::Lookup { set, key: 0, data: None },
        Expr::Accept,
    ]
}

/// One rule for each length of a declared prefix.
fn prefixes(family: Family) -> Vec<Vec<Expr>> {
    let (ether_type, set) = match family {
        Family::V4 => (IPV4, PREFIXES4),
        Family::V6 => (IPV6, PREFIXES6),
    };
    let rule = |length: u8| {
        let mask = mask(family, length);
        of(
            ether_type,
            vec![
                port(),
                load(Field::source(family)),
                Expr::Mask { register: AFTER_PORT, mask },
                Expr::Number { value: length.into(), to: AFTER_PORT + registers(family) },
                Expr::Lookup { set, key: 0, data: None },
                Expr::Accept,
            ],
        )
    };
    (0..=family.bits()).step_by(PREFIX_STEP.into()).map(rule).collect()
}

fn mask(family: Family, length: u8) -> Vec<u8> {
    let bits = |byte: usize| usize::from(length).saturating_sub(byte * 8).min(8);
    (0..family.address_len()).map(|byte| !(0xff_u16 >> bits(byte)).to_be_bytes()[1]).collect()
}

/// Frames of one Ethernet type.
fn of(ether_type: u16, rest: Vec<Expr>) -> Vec<Expr> {
    let kind = [Expr::Load { field: Field::ETHER_TYPE, to: 0 }, equal(ether_type.to_be_bytes().to_vec())];
    kind.into_iter().chain(rest).collect()
}

fn udp(source: u16, destination: u16, then: Expr) -> Vec<Expr> {
    vec![
        Expr::Meta { key: Meta::Protocol, to: 0 },
        equal(vec![UDP]),
        Expr::Load { field: Field::PORTS, to: 0 },
        equal([source.to_be_bytes(), destination.to_be_bytes()].concat()),
        then,
    ]
}

fn icmp(protocol: u8, kind: u8, then: Vec<Expr>) -> Vec<Expr> {
    let message = [
        Expr::Meta { key: Meta::Protocol, to: 0 },
        equal(vec![protocol]),
        Expr::Load { field: Field::ICMP_TYPE, to: 0 },
        equal(vec![kind]),
    ];
    message.into_iter().chain(then).collect()
}

fn port() -> Expr {
    Expr::Meta { key: Meta::InName, to: 0 }
}

fn load(field: Field) -> Expr {
    Expr::Load { field, to: AFTER_PORT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_the_first_bits() {
        assert_eq!(mask(Family::V4, 0), [0, 0, 0, 0]);
        assert_eq!(mask(Family::V4, 12), [255, 240, 0, 0]);
        assert_eq!(mask(Family::V4, 32), [255; 4]);
        assert_eq!(mask(Family::V6, 60)[..9], [255, 255, 255, 255, 255, 255, 255, 240, 0]);
    }
}
