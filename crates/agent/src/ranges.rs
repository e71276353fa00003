//! The address ranges of one root: chosen once, apart from what the host's routes and other roots use, then kept.

use std::net::Ipv4Addr;

use hoist_netfabric::host_networks;
use hoist_planner::cluster::Pool;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use crate::durable;
use crate::layout::Layout;

/// 10.192.0.0/10 in blocks of a /15: the first half of each for networks, then a /17 for service addresses, and a /17
/// of which the last addresses join host and fabric.
const BLOCKS: u32 = 32;
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 192, 0, 0);

/// The ranges kept, or new ones.
pub(crate) fn choose(layout: &Layout) -> Result<Pool, Box<dyn std::error::Error + Send + Sync>> {
    let path = layout.fabric().join("ranges.json");
    if let Some(pool) = durable::read(&path)? {
        return Ok(pool);
    }
    let host = host_networks()?;
    let used: Vec<IpNetwork> = host.addresses.into_iter().chain(host.routes).collect();
    let seed = u32::from_str_radix(&layout.tag(), 16)?;
    let pool =
        free_block(seed, &used).ok_or("no free block in 10.192.0.0/10: the host's routes use all of it")?;
    std::fs::create_dir_all(layout.fabric())?;
    durable::write(&path, &pool)?;
    Ok(pool)
}

/// The first block that no route touches, beginning at one that follows from the root's name, so that two roots that
/// start at once seldom choose the same.
fn free_block(seed: u32, used: &[IpNetwork]) -> Option<Pool> {
    (0..BLOCKS).map(|step| block((seed + step) % BLOCKS, seed)).find(|pool| {
        let whole = Ipv4Network::new(pool.networks4.network(), 15).expect("15 is a prefix length");
        !used.iter().any(|route| overlap(*route, whole))
    })
}

fn block(number: u32, seed: u32) -> Pool {
    let base = u32::from(FIRST) + (number << 17);
    let network = |address: u32, prefix| Ipv4Network::new(address.into(), prefix).expect("a prefix below 33");
    let seed = seed.to_be_bytes();
    let word = |high, low| u16::from_be_bytes([high, low]);
    // RFC 4193: a unique local prefix should be random; the root's name stands in for chance.
    let ula = std::net::Ipv6Addr::new(
        0xfd00 | u16::from(seed[0]),
        word(seed[1], seed[2]),
        word(seed[3], 0x48),
        0,
        0,
        0,
        0,
        0,
    );
    Pool {
        networks4: network(base, 16),
        prefix4: 24,
        services4: network(base + (1 << 16), 17),
        ula: Ipv6Network::new(ula, 48).expect("48 is a prefix length"),
    }
}

/// A default route overlaps with everything and says nothing.
fn overlap(route: IpNetwork, range: Ipv4Network) -> bool {
    match route {
        IpNetwork::V4(route) => {
            route.prefix() > 0 && (route.contains(range.network()) || range.contains(route.network()))
        }
        IpNetwork::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_a_route_touches_is_left_alone() {
        let free = free_block(0, &[]).unwrap();
        let route = IpNetwork::V4("10.192.7.0/24".parse().unwrap());
        let other = free_block(0, &[route, "0.0.0.0/0".parse().unwrap()]).unwrap();
        assert_eq!(free.networks4.to_string(), "10.192.0.0/16");
        assert_eq!(other.networks4.to_string(), "10.194.0.0/16");
        let all = IpNetwork::V4("10.0.0.0/8".parse().unwrap());
        assert_eq!(free_block(3, &[all]), None);
    }
}
