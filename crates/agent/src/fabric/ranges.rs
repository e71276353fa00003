//! The address ranges of one root: apart from what the host's routes and other roots use. Chosen once, looked at again
//! at each start, and chosen anew where something came into their way and no fabric is there that has them.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use hoist_model::HostSpec;
use hoist_netfabric::{LinkName, host_networks, is_made};
use hoist_planner::cluster::Pool;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use crate::durable;
use crate::layout::Layout;

/// 10.192.0.0/10 in blocks of a /15: the first half of each for networks, then a /17 for service addresses, and a /17
/// of which the last addresses join host and fabric.
const BLOCKS: u32 = 32;
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 192, 0, 0);
/// Prefix length of a block.
const BLOCK: u8 = 15;

/// Ranges, and what keeps others from choosing them while they are in use.
#[derive(Debug)]
pub(crate) struct Ranges {
    pub(crate) pool: Pool,
    pub(crate) claim: Claim,
}

/// Names in the host's network namespace that only one socket can have, whatever mount namespace its owner is in; they
/// are free again when the last process that holds them is gone. Agent and keeper hold them.
///
/// One name is the block's. The other is the block's with the root's tag: when both are taken, our own keeper has them.
/// Empty where they couldn't be had: the block is then only known by its routes.
#[derive(Debug, Default)]
pub(crate) struct Claim(pub(crate) Vec<OwnedFd>);

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The ranges kept, where nothing is in their way, or new ones. Kept ones that were lost are those that the networks of
/// the accepted spec come from. `tag` is the root's short name.
pub(crate) fn choose(layout: &Layout, tag: &str, spec: &HostSpec) -> Result<Ranges, AnyError> {
    let path = layout.ranges();
    let seed = u32::from_str_radix(tag, 16)?;
    let kept: Option<Pool> = durable::read_sound(&path)?;
    let is_lost = kept.is_none();
    let kept = kept.or_else(|| of_networks(spec, seed));
    let foreign = foreign(tag)?;
    if let Some(pool) = kept {
        if is_lost {
            durable::write(&path, &pool)?;
        }
        let claim = claim(&pool, tag);
        // Instances have addresses out of these ranges: they stay, and the conflict is reported.
        let in_use = is_made(&layout.fabric_netns());
        match claim {
            Ok(claim) if in_use || !touches(&foreign, &pool) => return Ok(Ranges { pool, claim }),
            Err(_) if in_use => return Ok(Ranges { pool, claim: Claim::default() }),
            _ => {}
        }
    }
    let ranges = free_block(seed, &foreign, |pool| claim(pool, tag));
    let ranges = ranges.ok_or(
        "no free block in 10.192.0.0/10: the host's routes and other roots use all of it; `hoist agent stop` for \
         roots that nobody needs makes room",
    )?;
    std::fs::create_dir_all(layout.fabric())?;
    durable::write(&path, &ranges.pool)?;
    Ok(ranges)
}

/// The ranges that [`choose`] settled on.
pub(crate) fn chosen(layout: &Layout) -> Result<Pool, AnyError> {
    let kept = durable::read(&layout.ranges())?;
    kept.ok_or_else(|| "the address ranges are not chosen yet".into())
}

/// The block that a network of the spec lies in, by its subnets or its service addresses. A declared subnet may lie
/// anywhere; each network has service addresses.
fn of_networks(spec: &HostSpec, seed: u32) -> Option<Pool> {
    let ranges = spec.networks.values().flat_map(|network| network.services.iter().chain(&network.subnets));
    let ranges: Vec<IpNetwork> = ranges.copied().collect();
    (0..BLOCKS).map(|number| block(number, seed)).find(|pool| touches(&ranges, pool))
}

/// What others than the root of this short name use on the host.
pub(crate) fn foreign(tag: &str) -> Result<Vec<IpNetwork>, AnyError> {
    let own = LinkName::new(format!("hoist-{tag}"))?;
    let host = host_networks(Some(&own))?;
    Ok(host.addresses.into_iter().chain(host.routes).collect())
}

/// The first block that no route touches and nobody has claimed, beginning at one that follows from the root's name.
/// Where a wide route covers all (a VPN's `10.0.0.0/8`), the first that nothing narrower touches: what is more
/// exact goes before it.
fn free_block(
    seed: u32,
    foreign: &[IpNetwork],
    claim: impl Fn(&Pool) -> io::Result<Claim>,
) -> Option<Ranges> {
    let blocks = || (0..BLOCKS).map(|step| block((seed + step) % BLOCKS, seed));
    let narrow: Vec<IpNetwork> = foreign.iter().copied().filter(|route| route.prefix() > BLOCK).collect();
    [foreign, narrow.as_slice()].into_iter().find_map(|foreign| {
        let free = blocks().filter(|pool| !touches(foreign, pool));
        free.filter_map(|pool| Some(Ranges { claim: claim(&pool).ok()?, pool })).next()
    })
}

/// # Errors
/// Another root has the block.
fn claim(pool: &Pool, tag: &str) -> io::Result<Claim> {
    let bind = |name: String| -> io::Result<OwnedFd> {
        Ok(UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)?.into())
    };
    let block = format!("hoist-ranges-{}", pool.networks4.network());
    match (bind(block.clone()), bind(format!("{block}-{tag}"))) {
        (Ok(block), Ok(own)) => Ok(Claim(vec![block, own])),
        (Ok(block), Err(_)) => Ok(Claim(vec![block])),
        // Our keeper has both.
        (Err(_), Err(_)) => Ok(Claim::default()),
        (Err(error), Ok(_)) => Err(error),
    }
}

fn touches(foreign: &[IpNetwork], pool: &Pool) -> bool {
    let whole = Ipv4Network::new(pool.networks4.network(), BLOCK).expect("15 is a prefix length");
    foreign.iter().any(|route| overlap(*route, whole))
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

    fn unclaimed(_: &Pool) -> io::Result<Claim> {
        Ok(Claim::default())
    }

    fn networks(seed: u32, foreign: &[&str]) -> Option<String> {
        let foreign: Vec<IpNetwork> = foreign.iter().map(|route| route.parse().unwrap()).collect();
        Some(free_block(seed, &foreign, unclaimed)?.pool.networks4.to_string())
    }

    #[test]
    fn a_block_that_a_route_touches_is_left_alone() {
        assert_eq!(networks(0, &[]).unwrap(), "10.192.0.0/16");
        assert_eq!(networks(0, &["10.192.7.0/24", "0.0.0.0/0"]).unwrap(), "10.194.0.0/16");
    }

    #[test]
    fn lost_ranges_are_those_of_the_networks() {
        let network = |services: &str| hoist_model::NetworkSpec {
            users: Vec::new(),
            subnets: vec!["192.168.7.0/24".parse().unwrap()],
            services: vec![services.parse().unwrap()],
            internal: false,
            unchecked: false,
        };
        let mut spec = HostSpec::default();
        assert_eq!(of_networks(&spec, 3), None);
        let pool = block(9, 3);
        let slice = Ipv4Network::new(pool.services4.network(), 28).unwrap().to_string();
        spec.networks.insert("s_default".parse().unwrap(), network(&slice));
        assert_eq!(of_networks(&spec, 3), Some(pool));
    }

    #[test]
    fn under_a_wide_route_the_narrow_ones_count() {
        assert_eq!(networks(3, &["10.0.0.0/8"]).unwrap(), "10.198.0.0/16");
        assert_eq!(networks(3, &["10.0.0.0/8", "10.199.0.1/32"]).unwrap(), "10.200.0.0/16");
        let all: Vec<String> = (0..64).map(|n| format!("10.{}.0.0/16", 192 + n)).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(networks(3, &all), None);
    }

    #[test]
    fn a_block_that_is_claimed_is_left_to_its_owner_until_it_is_gone() {
        // Another process may run these tests at the same time: a tag and a block of its own.
        let number = 1_000 + std::process::id() % 10_000;
        let pool = Pool { networks4: Ipv4Network::new(number.into(), 32).unwrap(), ..Pool::default() };
        let first = claim(&pool, "a").unwrap();
        assert_eq!(first.0.len(), 2);
        assert!(claim(&pool, "b").is_err());
        // The same root again, whose keeper has the names.
        assert_eq!(claim(&pool, "a").unwrap().0.len(), 0);
        drop(first);
        assert_eq!(claim(&pool, "b").unwrap().0.len(), 2);
    }
}
