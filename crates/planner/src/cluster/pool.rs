//! The address ranges that Hoist may use, and arithmetic on them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use serde::{Deserialize, Serialize};

/// Prefix length of an IPv6 subnet.
const PREFIX6: u8 = 64;
/// Prefix length of a network's slice of the IPv6 service range.
const SLICE6: u8 = 112;

/// Where subnets and service addresses come from. The fabric is configured with the same service ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Subnets of networks are cut from this.
    pub networks4: Ipv4Network,
    /// Prefix length of a small network's IPv4 subnet, and of its slice of the service range; what has more instances
    /// or services has more addresses.
    pub prefix4: u8,
    /// Service addresses; outside `networks4`. Each network has a slice of its own.
    pub services4: Ipv4Network,
    /// IPv6 subnets (/64 each) are cut from this unique local prefix; its last /64 is for service addresses.
    pub ula: Ipv6Network,
}

impl Default for Pool {
    /// Ranges that common tools don't take by default: 1,024 IPv4 networks of 253 addresses each.
    fn default() -> Self {
        let v4 = |a, b, prefix| {
            Ipv4Network::new(Ipv4Addr::new(a, b, 0, 0), prefix).expect("a prefix below 33 is valid")
        };
        let ula = Ipv6Addr::new(0xfd48, 0x6f69, 0x7374, 0, 0, 0, 0, 0);
        Self {
            networks4: v4(10, 212, 14),
            prefix4: 24,
            services4: v4(10, 216, 14),
            ula: Ipv6Network::new(ula, 48).expect("a prefix below 129 is valid"),
        }
    }
}

impl Pool {
    /// The range of all IPv6 service addresses: the last /64 of `ula`.
    #[must_use]
    pub fn services6(&self) -> Ipv6Network {
        let last = u128::from(self.ula.broadcast()) & !u128::from(u64::MAX);
        Ipv6Network::new(Ipv6Addr::from(last), PREFIX6).expect("64 is a valid prefix")
    }

    /// Whether a subnet may have been chosen from here.
    pub(super) fn has(&self, subnet: IpNetwork) -> bool {
        within(subnet, IpNetwork::V4(self.networks4)) || within(subnet, IpNetwork::V6(self.ula))
    }

    /// Whether a slice of the service range may have been chosen from here.
    pub(super) fn has_services(&self, slice: IpNetwork) -> bool {
        within(slice, IpNetwork::V4(self.services4)) || within(slice, IpNetwork::V6(self.services6()))
    }

    /// Candidates for the subnet of a network that needs so many addresses, in order. The IPv6 ones end before the
    /// service range.
    pub(super) fn subnets(&self, v6: bool, need: u128) -> Box<dyn Iterator<Item = IpNetwork>> {
        let services = IpNetwork::V6(self.services6());
        if v6 {
            Box::new(cut(IpNetwork::V6(self.ula), PREFIX6).filter(move |subnet| *subnet != services))
        } else {
            Box::new(cut(IpNetwork::V4(self.networks4), prefix4(need).min(self.prefix4)))
        }
    }

    /// Candidates for a slice of the service range with so many addresses, in order.
    pub(super) fn slices(&self, v6: bool, need: u128) -> Box<dyn Iterator<Item = IpNetwork>> {
        if v6 {
            Box::new(cut(IpNetwork::V6(self.services6()), SLICE6))
        } else {
            Box::new(cut(IpNetwork::V4(self.services4), prefix4(need).min(self.prefix4)))
        }
    }
}

/// The longest IPv4 prefix with so many addresses.
pub(super) fn prefix4(need: u128) -> u8 {
    let bits = need.max(1).next_power_of_two().trailing_zeros();
    32_u32.saturating_sub(bits).try_into().unwrap_or(0)
}

/// Addresses in a range.
pub(super) fn size(range: IpNetwork) -> u128 {
    let bits: u8 = if range.is_ipv6() { 128 } else { 32 };
    1_u128.checked_shl((bits - range.prefix()).into()).unwrap_or(u128::MAX)
}

/// `range` cut into networks of this prefix length; none when it is smaller than one. Ends after 65,536.
fn cut(range: IpNetwork, prefix: u8) -> impl Iterator<Item = IpNetwork> {
    let bits = if range.is_ipv6() { 128 } else { 32 };
    let count = match prefix.checked_sub(range.prefix()) {
        Some(more) => 1u128 << u32::from(more).min(16),
        None => 0,
    };
    let size = 1u128.checked_shl(u32::from(bits - prefix.min(bits))).unwrap_or(0);
    let base = number(range.network());
    (0..count).filter_map(move |n| IpNetwork::new(address(base + n * size, range.is_ipv6()), prefix).ok())
}

fn within(inner: IpNetwork, outer: IpNetwork) -> bool {
    overlap(inner, outer) && inner.prefix() >= outer.prefix()
}

/// Whether two ranges share an address.
pub(crate) fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a.contains(b.network()) || b.contains(a.network()))
}

/// The lowest address of `range` that isn't taken. The range's own address, its gateway (the first) and, in IPv4, its
/// broadcast address are never given; `reserved` addresses neither.
pub(super) fn free(range: IpNetwork, reserved: u128, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let (first, last) = (number(range.network()), number(range.broadcast()));
    let last = if range.is_ipv4() { last.checked_sub(1)? } else { last };
    let mut n = first.checked_add(reserved)?;
    while n <= last {
        let candidate = address(n, range.is_ipv6());
        if !taken.contains(&candidate) {
            return Some(candidate);
        }
        n += 1;
    }
    None
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn address(number: u128, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::from(number))
    } else {
        IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_and_slices_stay_inside_their_ranges() {
        let pool = Pool::default();
        for v6 in [false, true] {
            let subnets: Vec<IpNetwork> = pool.subnets(v6, 250).take(2000).collect();
            let slices: Vec<IpNetwork> = pool.slices(v6, 250).take(2000).collect();
            assert!(subnets.len() >= 1024 && slices.len() >= 1024);
            assert!(subnets.iter().all(|subnet| slices.iter().all(|slice| !overlap(*subnet, *slice))));
        }
        assert_eq!(pool.subnets(false, 5).nth(1), Some("10.212.1.0/24".parse().unwrap()));
        assert_eq!(pool.slices(true, 5).nth(1), Some("fd48:6f69:7374:ffff::1:0/112".parse().unwrap()));
    }

    #[test]
    fn what_needs_more_gets_more_and_never_more_than_there_is() {
        let pool = Pool::default();
        for (need, prefix) in [(3, 24), (256, 24), (257, 23), (603, 22), (2203, 20), (1 << 18, 14)] {
            assert_eq!(
                pool.subnets(false, need).next().map(|subnet| subnet.prefix()),
                Some(prefix),
                "{need}"
            );
        }
        assert_eq!(pool.subnets(false, (1 << 18) + 1).next(), None);
        assert!(pool.subnets(true, 1 << 40).next().is_some());
    }

    #[test]
    fn the_lowest_free_address_is_given_and_the_edges_never() {
        let range: IpNetwork = "10.0.0.0/29".parse().unwrap();
        let mut taken = BTreeSet::new();
        while let Some(address) = free(range, 2, &taken) {
            taken.insert(address);
        }
        let given: Vec<String> = taken.iter().map(ToString::to_string).collect();
        assert_eq!(given, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
    }
}
