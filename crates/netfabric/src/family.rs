//! The two address families, and what follows from them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use crate::spec::{FabricConfig, LinkName, Network, Range};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order in which things are set up.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Bytes of an address.
    pub const fn address_len(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// Bits of an address.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The network that holds every address.
    pub fn everything(self) -> IpNetwork {
        match self {
            Self::V4 => IpNetwork::V4(Ipv4Network::from(Ipv4Addr::UNSPECIFIED).with_prefix(0)),
            Self::V6 => IpNetwork::V6(Ipv6Network::from(Ipv6Addr::UNSPECIFIED).with_prefix(0)),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The nf_tables family that a table of ours is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableFamily {
    /// Routed packets of one address family.
    Ip(Family),
    /// Frames that come in by a bridge's port.
    Bridge,
}

impl TableFamily {
    /// All that a side of the fabric may have.
    pub const ALL: [Self; 3] = [Self::Ip(Family::V4), Self::Ip(Family::V6), Self::Bridge];
}

impl From<Family> for TableFamily {
    fn from(family: Family) -> Self {
        Self::Ip(family)
    }
}

impl fmt::Display for TableFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(family) => family.fmt(f),
            Self::Bridge => f.write_str("bridge"),
        }
    }
}

/// A network with another prefix length; the crate's constructors are fallible where ours can't fail.
trait WithPrefix: Sized {
    fn with_prefix(self, prefix: u8) -> Self;
}

impl WithPrefix for Ipv4Network {
    fn with_prefix(self, prefix: u8) -> Self {
        Self::new(self.ip(), prefix.min(32)).unwrap_or(self)
    }
}

impl WithPrefix for Ipv6Network {
    fn with_prefix(self, prefix: u8) -> Self {
        Self::new(self.ip(), prefix.min(128)).unwrap_or(self)
    }
}

/// An address's bytes in network order.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The address that network-order bytes stand for; `None` for any other length than 4 and 16.
pub(crate) fn from_octets(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

/// `address/prefix`, the prefix cut to what the family has.
pub(crate) fn with_prefix(address: IpAddr, prefix: u8) -> IpNetwork {
    match address {
        IpAddr::V4(address) => IpNetwork::V4(Ipv4Network::from(address).with_prefix(prefix)),
        IpAddr::V6(address) => IpNetwork::V6(Ipv6Network::from(address).with_prefix(prefix)),
    }
}

/// A range with the host bits of its address cleared, as the kernel lists routes.
pub(crate) fn canonical(range: IpNetwork) -> IpNetwork {
    with_prefix(range.network(), range.prefix())
}

/// Whether two ranges share an address.
pub fn overlaps(first: IpNetwork, second: IpNetwork) -> bool {
    Family::of(first.ip()) == Family::of(second.ip())
        && (first.contains(second.network()) || second.contains(first.network()))
}

impl Network {
    /// The names of all its bridges, those included that aren't needed.
    pub(crate) fn bridges(&self) -> impl Iterator<Item = &LinkName> {
        std::iter::once(&self.bridge).chain(&self.further)
    }

    /// The network's range of a family.
    pub fn range(&self, family: Family) -> Option<&Range> {
        self.ranges.iter().find(|range| Family::of(range.subnet.ip()) == family)
    }
}

/// The two addresses of the pair that joins host and fabric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UplinkPair {
    /// The host's, with the pair's prefix length.
    pub host: IpNetwork,
    /// The fabric's, with the pair's prefix length.
    pub fabric: IpNetwork,
}

impl FabricConfig {
    /// The families that lead out of the fabric.
    pub fn uplinks(&self) -> Vec<IpNetwork> {
        let v6 = self.uplink6.map(IpNetwork::V6);
        [Some(IpNetwork::V4(self.uplink4)), v6].into_iter().flatten().collect()
    }

    /// The ranges of service addresses.
    pub fn services(&self) -> Vec<IpNetwork> {
        let v6 = self.services6.map(IpNetwork::V6);
        [Some(IpNetwork::V4(self.services4)), v6].into_iter().flatten().map(canonical).collect()
    }

    /// The pair's addresses of a family; `None` when the family has no uplink or no room.
    pub fn uplink_pair(&self, family: Family) -> Option<UplinkPair> {
        let range = self.uplinks().into_iter().find(|range| Family::of(range.ip()) == family)?;
        if range.prefix() + 2 > family.bits() {
            return None;
        }
        let nth = |n: u8| -> IpNetwork {
            let address = match range.network() {
                IpAddr::V4(base) => IpAddr::V4(Ipv4Addr::from(u32::from(base) + u32::from(n))),
                IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from(u128::from(base) + u128::from(n))),
            };
            with_prefix(address, range.prefix())
        };
        Some(UplinkPair { host: nth(1), fabric: nth(2) })
    }
}
