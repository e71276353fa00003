//! Elements of the tables' sets and maps, in terms of what they mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::family::{Family, TableFamily, from_octets, octets};
use crate::guard::Allowed;
use crate::nft::element::Raw;
use crate::nft::expr::link_name;
use crate::rules::{self, SLOTS};
use crate::side::Side;
use crate::spec::Protocol;

/// One entry of a set or map; the slots of service addresses are apart ([`Slots`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// Packets may pass from one link of the fabric to another.
    Pass {
        /// The family.
        family: Family,
        /// The link they come in by.
        from: String,
        /// The link they go out by.
        to: String,
    },
    /// An address that is a backend, and may reach itself through its service address.
    Own {
        /// The address.
        address: IpAddr,
    },
    /// New connections from a link wait for a service address.
    Held {
        /// The link they come in by.
        from: String,
        /// The service address.
        service: IpAddr,
    },
    /// A published port.
    Port {
        /// Where.
        at: PortKey,
        /// Where it leads; the family is that of `at`.
        target: SocketAddr,
    },
    /// What may come in by a port of a bridge.
    Source {
        /// The port.
        port: String,
        /// What.
        allowed: Allowed,
    },
}

/// What a published port is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey {
    /// The family of the clients.
    pub family: Family,
    /// One address of the host, or every one.
    pub address: Option<IpAddr>,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port on the host.
    pub port: u16,
}

impl Entry {
    /// The side on which it is.
    pub(crate) fn side(&self) -> Side {
        match self {
            Self::Pass { .. } | Self::Own { .. } | Self::Held { .. } | Self::Source { .. } => Side::Fabric,
            Self::Port { .. } => Side::Host,
        }
    }

    /// The family of the table that has it.
    pub(crate) fn family(&self) -> TableFamily {
        match self {
            Self::Pass { family, .. } => (*family).into(),
            Self::Own { address: of } | Self::Held { service: of, .. } => Family::of(*of).into(),
            Self::Port { at, .. } => at.family.into(),
            Self::Source { .. } => Allowed::TABLE,
        }
    }

    /// The set that holds it.
    pub(crate) fn set(&self) -> &'static str {
        match self {
            Self::Pass { .. } => rules::LINKS,
            Self::Own { .. } => rules::OWN,
            Self::Held { .. } => rules::HELD_FROM,
            Self::Port { at: PortKey { address: None, .. }, .. } => rules::PORTS,
            Self::Port { .. } => rules::PORTS_AT,
            Self::Source { allowed, .. } => allowed.set(),
        }
    }

    /// The names of a table's sets.
    pub(crate) fn sets(side: Side, family: TableFamily) -> &'static [&'static str] {
        match (side, family) {
            (Side::Fabric, TableFamily::Bridge) => Allowed::SETS,
            (Side::Fabric, TableFamily::Ip(_)) => &[rules::LINKS, rules::OWN, rules::HELD_FROM],
            (Side::Host, _) => &[rules::PORTS, rules::PORTS_AT],
        }
    }

    /// As the kernel keeps it.
    pub(crate) fn raw(&self) -> Raw {
        match self {
            Self::Pass { from, to, .. } => Raw { key: [link_name(from), link_name(to)].concat(), data: None },
            Self::Held { from, service } => {
                Raw { key: [link_name(from), octets(*service)].concat(), data: None }
            }
            Self::Own { address } => Raw { key: [octets(*address), octets(*address)].concat(), data: None },
            Self::Source { port, allowed } => allowed.raw(port),
            Self::Port { at, target } => {
                let address = at.address.map(octets).unwrap_or_default();
                let protocol = vec![at.protocol.number(), 0, 0, 0];
                Raw {
                    key: [address, protocol, padded_port(at.port)].concat(),
                    data: Some([octets(target.ip()), padded_port(target.port())].concat()),
                }
            }
        }
    }

    /// Reads an element back; `None` for one that we'd never have written.
    pub(crate) fn read(family: TableFamily, set: &str, raw: &Raw) -> Option<Self> {
        let TableFamily::Ip(family) = family else {
            let (port, rest) = raw.key.split_at_checked(16)?;
            return Some(Self::Source { port: read_link_name(port)?, allowed: Allowed::read(set, rest)? });
        };
        match set {
            rules::LINKS => {
                let (from, to) = raw.key.split_at_checked(16)?;
                Some(Self::Pass { family, from: read_link_name(from)?, to: read_link_name(to)? })
            }
            rules::HELD_FROM => {
                let (from, service) = raw.key.split_at_checked(16)?;
                Some(Self::Held { from: read_link_name(from)?, service: from_octets(service)? })
            }
            rules::OWN => Some(Self::Own { address: from_octets(raw.key.get(..family.address_len())?)? }),
            rules::PORTS | rules::PORTS_AT => read_port(family, set == rules::PORTS_AT, raw),
            _ => None,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass { family, from, to } => write!(f, "pass {family} from {from} to {to}"),
            Self::Own { address } => write!(f, "pass {address} to itself"),
            Self::Held { from, service } => write!(f, "hold connections from {from} to {service}"),
            Self::Port { at, target } => write!(f, "publish {at} to {target}"),
            Self::Source { port, allowed } => write!(f, "take {allowed} from {port}"),
        }
    }
}

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, address, protocol, port } = self;
        match address {
            Some(address) => write!(f, "{protocol} {}", SocketAddr::new(*address, *port)),
            None => write!(f, "{protocol} *:{port} ({family})"),
        }
    }
}

/// The slots of one service address, by number; each new connection takes a filled one at random.
///
/// Either all are filled or none is, when only we write them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slots(Vec<Option<IpAddr>>);

impl Default for Slots {
    fn default() -> Self {
        Self(vec![None; SLOTS as usize])
    }
}

impl Slots {
    /// Spreads backends evenly: none gets more than one slot more than another.
    pub fn fill(backends: &BTreeSet<IpAddr>) -> Self {
        let filled: Vec<_> = backends.iter().copied().map(Some).cycle().take(SLOTS as usize).collect();
        if filled.is_empty() { Self::default() } else { Self(filled) }
    }

    /// The backends that have a slot.
    pub fn backends(&self) -> BTreeSet<IpAddr> {
        self.0.iter().flatten().copied().collect()
    }

    pub(crate) fn set(&mut self, slot: u32, backend: IpAddr) {
        if let Some(place) = self.0.get_mut(slot as usize) {
            *place = Some(backend);
        }
    }

    /// The elements to remove, and then to add, for the slots that differ in `wanted`.
    pub(crate) fn changes(&self, service: IpAddr, wanted: &Self) -> (Vec<Raw>, Vec<Raw>) {
        let mut remove = Vec::new();
        let mut add = Vec::new();
        for (slot, (old, new)) in (0..).zip(self.0.iter().zip(&wanted.0)).filter(|(_, (old, new))| old != new)
        {
            remove.extend(old.map(|backend| slot_element(service, slot, backend)));
            add.extend(new.map(|backend| slot_element(service, slot, backend)));
        }
        (remove, add)
    }
}

/// Reads the slots of all service addresses back.
pub(crate) fn read_slots(elements: &[Raw]) -> BTreeMap<IpAddr, Slots> {
    let mut services: BTreeMap<IpAddr, Slots> = BTreeMap::new();
    for element in elements {
        if let Some((service, slot, backend)) = read_slot(element) {
            services.entry(service).or_default().set(slot, backend);
        }
    }
    services
}

fn read_slot(element: &Raw) -> Option<(IpAddr, u32, IpAddr)> {
    let (service, slot) = element.key.split_at_checked(element.key.len().checked_sub(4)?)?;
    let slot = u32::from_ne_bytes(slot.try_into().ok()?);
    Some((from_octets(service)?, slot, from_octets(element.data.as_ref()?)?))
}

fn slot_element(service: IpAddr, slot: u32, backend: IpAddr) -> Raw {
    Raw { key: [octets(service), slot.to_ne_bytes().to_vec()].concat(), data: Some(octets(backend)) }
}

fn padded_port(port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    vec![high, low, 0, 0]
}

fn read_link_name(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8(bytes[..end].to_vec()).ok()
}

fn read_port(family: Family, with_address: bool, raw: &Raw) -> Option<Entry> {
    let length = family.address_len();
    let (address, rest) = raw.key.split_at_checked(if with_address { length } else { 0 })?;
    let address = if with_address { Some(from_octets(address)?) } else { None };
    let &[protocol, _, _, _, high, low, ..] = rest else { return None };
    let protocol = match protocol {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        _ => return None,
    };
    let at = PortKey { family, address, protocol, port: u16::from_be_bytes([high, low]) };
    let (target, port) = raw.data.as_ref()?.split_at_checked(length)?;
    let &[high, low, ..] = port else { return None };
    let target = SocketAddr::new(from_octets(target)?, u16::from_be_bytes([high, low]));
    Some(Entry::Port { at, target })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_back() {
        let at = |address: Option<&str>, family| PortKey {
            family,
            address: address.map(|address| address.parse().unwrap()),
            protocol: Protocol::Udp,
            port: 53,
        };
        let entries = [
            Entry::Pass { family: Family::V6, from: "br-a".into(), to: "uplink".into() },
            Entry::Own { address: "10.1.1.2".parse().unwrap() },
            Entry::Own { address: "fd00::2".parse().unwrap() },
            Entry::Held { from: "br-a".into(), service: "10.214.0.1".parse().unwrap() },
            Entry::Held { from: "uplink".into(), service: "fd14::1".parse().unwrap() },
            Entry::Source { port: "i1.0".into(), allowed: Allowed::Mac([2, 0, 0, 0, 0, 1]) },
            Entry::Source { port: "i1.0".into(), allowed: Allowed::Anything },
            Entry::Port { at: at(None, Family::V4), target: "10.9.0.1:80".parse().unwrap() },
            Entry::Port { at: at(Some("192.0.2.1"), Family::V4), target: "10.9.0.1:80".parse().unwrap() },
            Entry::Port { at: at(Some("2001:db8::1"), Family::V6), target: "[fd00::1]:80".parse().unwrap() },
        ];
        for entry in entries {
            assert_eq!(Entry::read(entry.family(), entry.set(), &entry.raw()), Some(entry));
        }
    }

    #[test]
    fn slots_are_spread_evenly_and_change_as_little_as_they_must() {
        let addresses: Vec<IpAddr> = (1..=3).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        let service = IpAddr::from([10, 9, 0, 1]);
        let three = Slots::fill(&addresses.iter().copied().collect());
        for address in &addresses {
            let share = three.0.iter().filter(|slot| **slot == Some(*address)).count();
            assert!((21..=22).contains(&share), "{address}: {share}");
        }
        let one = Slots::fill(&addresses[..1].iter().copied().collect());
        let (remove, add) = three.changes(service, &one);
        assert_eq!((remove.len(), add.len()), (42, 42));
        let (remove, add) = three.changes(service, &Slots::default());
        assert_eq!((remove.len(), add.len()), (64, 0));
        assert_eq!(three.changes(service, &three), (Vec::new(), Vec::new()));
        assert_eq!(read_slots(&Slots::default().changes(service, &three).1).get(&service), Some(&three));
    }
}
