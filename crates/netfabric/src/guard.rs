//! What an instance may send by one port, and how it is noted down at the port itself.
//!
//! The note is the alias of the fabric's end of the link: it is there as long as the link, whoever was killed, and
//! the rules can be made again from it. It says nothing of whether the network checks at all.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;

use crate::family::{Family, TableFamily, canonical, from_octets, octets, with_prefix};
use crate::nft::element::Raw;
use crate::nft::expr::link_name;
use crate::rules::sources;

/// `IFALIASZ` without the NUL, linux/if.h.
const ALIAS_MAX: usize = 255;
const MARK: &str = "hoist";

/// What one port's instance sends from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its addresses; the IPv6 link-local one follows from the hardware address.
    pub addresses: Vec<IpAddr>,
    /// Ranges that it was declared to route.
    pub prefixes: Vec<IpNetwork>,
}

/// One thing that may come in by a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowed {
    /// Every frame.
    Anything,
    /// Frames from a hardware address.
    Mac([u8; 6]),
    /// Packets from an address.
    Address(IpAddr),
    /// Packets from a range whose length is looked up.
    Prefix(IpNetwork),
}

impl Guard {
    /// The note; `None` when it is longer than the kernel keeps.
    pub(crate) fn alias(&self) -> Option<String> {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let prefixes = self.prefixes.iter().map(|prefix| canonical(*prefix).to_string());
        let words: Vec<String> =
            [MARK.to_owned(), hexadecimal(self.mac)].into_iter().chain(addresses).chain(prefixes).collect();
        Some(words.join(" ")).filter(|alias| alias.len() <= ALIAS_MAX)
    }

    /// Reads a note back; `None` for an alias that is none.
    pub(crate) fn parse(alias: &str) -> Option<Self> {
        let mut words = alias.split(' ');
        if words.next() != Some(MARK) {
            return None;
        }
        let mac = from_hexadecimal(words.next()?)?;
        let mut guard = Self { mac, addresses: Vec::new(), prefixes: Vec::new() };
        for word in words {
            match word.parse() {
                Ok(address) => guard.addresses.push(address),
                Err(_) => guard.prefixes.push(word.parse().ok()?),
            }
        }
        Some(guard)
    }

    /// Everything that may come in.
    pub(crate) fn allowed(&self) -> BTreeSet<Allowed> {
        let addresses = self.addresses.iter().copied().chain([link_local(self.mac).into()]);
        let prefixes = self.prefixes.iter().flat_map(|prefix| steps(*prefix));
        [Allowed::Mac(self.mac)]
            .into_iter()
            .chain(addresses.map(Allowed::Address))
            .chain(prefixes.map(Allowed::Prefix))
            .collect()
    }
}

impl Allowed {
    pub(crate) fn set(&self) -> &'static str {
        match self {
            Self::Anything => sources::UNCHECKED,
            Self::Mac(_) => sources::MACS,
            Self::Address(IpAddr::V4(_)) => sources::SOURCES4,
            Self::Address(IpAddr::V6(_)) => sources::SOURCES6,
            Self::Prefix(IpNetwork::V4(_)) => sources::PREFIXES4,
            Self::Prefix(IpNetwork::V6(_)) => sources::PREFIXES6,
        }
    }

    /// As the kernel keeps it, for one port.
    pub(crate) fn raw(&self, port: &str) -> Raw {
        let mut key = link_name(port);
        match self {
            Self::Anything => {}
            Self::Mac(mac) => key.extend(mac.iter().chain(&[0, 0])),
            Self::Address(address) => key.extend(octets(*address)),
            Self::Prefix(range) => {
                key.extend(octets(range.network()));
                key.extend(u32::from(range.prefix()).to_ne_bytes());
            }
        }
        Raw { key, data: None }
    }

    /// Reads the part of a key behind the port's name.
    pub(crate) fn read(set: &str, key: &[u8]) -> Option<Self> {
        match set {
            sources::UNCHECKED => Some(Self::Anything),
            sources::MACS => Some(Self::Mac(key.get(..6)?.try_into().ok()?)),
            sources::SOURCES4 | sources::SOURCES6 => Some(Self::Address(from_octets(key)?)),
            sources::PREFIXES4 | sources::PREFIXES6 => {
                let (address, length) = key.split_at_checked(key.len().checked_sub(4)?)?;
                let length = u32::from_ne_bytes(length.try_into().ok()?);
                Some(Self::Prefix(with_prefix(from_octets(address)?, u8::try_from(length).ok()?)))
            }
            _ => None,
        }
    }

    /// The table that has its set.
    pub(crate) const TABLE: TableFamily = TableFamily::Bridge;
    /// The table's sets.
    pub(crate) const SETS: &'static [&'static str] = &[
        sources::UNCHECKED,
        sources::MACS,
        sources::SOURCES4,
        sources::SOURCES6,
        sources::PREFIXES4,
        sources::PREFIXES6,
    ];
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anything => f.write_str("anything"),
            Self::Mac(mac) => f.write_str(&hexadecimal(*mac)),
            Self::Address(address) => address.fmt(f),
            Self::Prefix(range) => range.fmt(f),
        }
    }
}

/// The link-local address that the kernel gives a link, RFC 4291, appendix A.
pub(crate) fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
}

/// A range in ranges whose lengths are looked up.
fn steps(range: IpNetwork) -> Vec<IpNetwork> {
    let range = canonical(range);
    let family = Family::of(range.ip());
    let length = range.prefix().next_multiple_of(sources::PREFIX_STEP);
    let (first, size) = (number(range.ip()), 1_u128.checked_shl(u32::from(family.bits() - length)));
    (0..1_u128 << (length - range.prefix()))
        .filter_map(|n| address(family, first + n * size.unwrap_or(0)).map(|ip| with_prefix(ip, length)))
        .collect()
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn address(family: Family, number: u128) -> Option<IpAddr> {
    match family {
        Family::V4 => Some(IpAddr::V4(u32::try_from(number).ok()?.into())),
        Family::V6 => Some(IpAddr::V6(number.into())),
    }
}

fn hexadecimal(mac: [u8; 6]) -> String {
    let bytes: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

fn from_hexadecimal(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(prefixes: &[&str]) -> Guard {
        Guard {
            mac: [2, 0x68, 10, 1, 1, 2],
            addresses: vec!["10.1.1.2".parse().unwrap(), "fd01:1::2".parse().unwrap()],
            prefixes: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_note_can_be_read_back_and_has_a_limit() {
        let guard = guard(&["10.8.0.0/22", "fd08::/64"]);
        let alias = guard.alias().unwrap();
        assert_eq!(alias, "hoist 02:68:0a:01:01:02 10.1.1.2 fd01:1::2 10.8.0.0/22 fd08::/64");
        assert_eq!(Guard::parse(&alias), Some(guard.clone()));
        for other in ["", "hoist", "uplink of rack 3", "hoist 02:68 10.1.1.2", "hoist 02:68:0a:01:01:02 ten"]
        {
            assert_eq!(Guard::parse(other), None, "{other}");
        }
        let many = Guard { prefixes: vec!["fd08:1234:5678::/64".parse().unwrap(); 12], ..guard };
        assert_eq!(many.alias(), None);
    }

    #[test]
    fn what_is_allowed_is_whole_and_nothing_more() {
        let allowed: Vec<String> =
            guard(&["10.8.0.0/22"]).allowed().iter().map(ToString::to_string).collect();
        assert_eq!(
            allowed,
            [
                "02:68:0a:01:01:02",
                "10.1.1.2",
                "fd01:1::2",
                "fe80::68:aff:fe01:102",
                "10.8.0.0/24",
                "10.8.1.0/24",
                "10.8.2.0/24",
                "10.8.3.0/24",
            ]
        );
        assert_eq!(steps("0.0.0.0/0".parse().unwrap()), ["0.0.0.0/0".parse().unwrap()]);
        assert_eq!(steps("::/0".parse().unwrap()).len(), 1);
        assert_eq!(steps("fd00::1/128".parse().unwrap()).len(), 1);
        assert_eq!(steps("10.0.0.4/29".parse().unwrap()).len(), 8);
    }

    #[test]
    fn what_is_written_can_be_read_back() {
        for allowed in guard(&["10.8.0.0/22", "fd08::/61"]).allowed().into_iter().chain([Allowed::Anything]) {
            let raw = allowed.raw("i1.0");
            assert_eq!(Allowed::read(allowed.set(), &raw.key[16..]), Some(allowed));
        }
    }
}
