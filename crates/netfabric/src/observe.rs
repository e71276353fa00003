//! Reading the kernel's state.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::path::Path;

use ipnetwork::IpNetwork;

use crate::entry::{Entry, read_slots};
use crate::family::{Family, TableFamily, canonical, with_prefix};
use crate::netlink::link::{self, Kind, Listed};
use crate::netlink::route::{self, ListedRoute};
use crate::netlink::rtnl::Rtnl;
use crate::netlink::{KernelError, Socket};
use crate::netlink::{neighbour, rule};
use crate::netns::{self, NetnsError};
use crate::nft::dump;
use crate::nft::element::SetRef;
use crate::observed::{
    LinkObserved, NeighbourObserved, Observed, RouteObserved, SideObserved, TableObserved,
};
use crate::place::{Place, Sockets};
use crate::side::{Side, UPLINK};
use crate::spec::{FabricConfig, LinkName};
use crate::{drift, foreign};
use crate::{rules, sysctl, wanted};

/// Why the kernel's state couldn't be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// A listing failed.
    #[error("can't read the {side}'s network")]
    Kernel {
        /// Where.
        side: Side,
        /// The listing.
        #[source]
        source: KernelError,
    },
    /// A namespace couldn't be entered.
    #[error("can't look into the {side}'s namespace")]
    Netns {
        /// Where.
        side: Side,
        /// What failed.
        #[source]
        source: NetnsError,
    },
}

/// Addresses and routes of the host that a new network must keep clear of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNetworks {
    /// The host's own addresses with their prefix lengths.
    pub addresses: BTreeSet<IpNetwork>,
    /// Destinations of its routes. Those are left out that are so wide that they are a way out rather than a
    /// network: default routes, and the halves (`0.0.0.0/1`) that VPNs put before them.
    pub routes: BTreeSet<IpNetwork>,
}

/// Shortest prefix of a route that is to a network.
const fn shortest(family: Family) -> u8 {
    match family {
        Family::V4 => 8,
        Family::V6 => 7,
    }
}

/// Lists the addresses and routes of the calling thread's namespace, but those of one link.
pub fn host_networks(without: Option<&LinkName>) -> Result<HostNetworks, ObserveError> {
    let failed = |source| ObserveError::Kernel { side: Side::Host, source };
    let mut socket =
        Rtnl::open().map_err(|source| failed(KernelError::new("open a netlink socket", source)))?;
    let mut networks = HostNetworks::default();
    let without = match without {
        Some(name) => link::find(&mut socket, name.as_str()).map_err(failed)?.map(|link| link.index),
        None => None,
    };
    let addresses = route::addresses(&mut socket).map_err(failed)?.into_iter();
    let addresses =
        addresses.filter(|listed| Some(listed.link) != without && !listed.address.ip().is_loopback());
    networks.addresses.extend(addresses.map(|listed| listed.address));
    for family in Family::ALL {
        let routes = route::list(&mut socket, family).map_err(failed)?.into_iter();
        let others = routes.filter(|route| route.unicast && (route.link.is_none() || route.link != without));
        networks.routes.extend(others.map(|route| route.to).filter(|to| to.prefix() >= shortest(family)));
    }
    Ok(networks)
}

/// Reads both sides.
pub(crate) fn observe(config: &FabricConfig, host: &Place, fabric: &Place) -> Result<Observed, ObserveError> {
    let kernel = |side| move |source| ObserveError::Kernel { side, source };
    let netns = |side| move |source| ObserveError::Netns { side, source };
    let name = config.tag.name();
    let mut observed = Observed { ipv6: Path::new("/proc/sys/net/ipv6").exists(), ..Observed::default() };
    let mut ends = BTreeMap::new();
    for (side, place) in [(Side::Host, host), (Side::Fabric, fabric)] {
        let parameters = wanted::watched(config, side);
        let sysctls = sysctl::read(place.netns(), parameters).map_err(netns(side))?;
        let mut sockets = place.sockets();
        let links = link::list(&mut sockets.route).map_err(kernel(side))?;
        place.learn(&links);
        let end = if side == Side::Host { name.as_str() } else { UPLINK };
        ends.insert(side, links.iter().find(|link| link.name == end).cloned());
        let found = Found { side, name: &name, links, ipv6: observed.ipv6 };
        let state = found.read(&mut sockets).map_err(kernel(side))?;
        *observed.side_mut(side) = SideObserved { sysctls, ..state };
    }
    observed.joined = are_each_others(&ends);
    observed.unpinned = !netns::is_mounted_on(fabric.netns(), &config.netns_path);
    let link = ends.get(&Side::Host).and_then(Option::as_ref).map(|link| link.index);
    read_others(config, host, link, &mut observed)?;
    Ok(observed)
}

/// What others of the host do that matters to us, and what of ours is beside theirs. `link` is our link's index.
fn read_others(
    config: &FabricConfig,
    host: &Place,
    link: Option<u32>,
    observed: &mut Observed,
) -> Result<(), ObserveError> {
    let kernel = |source| ObserveError::Kernel { side: Side::Host, source };
    let netns = |source| ObserveError::Netns { side: Side::Host, source };
    let name = config.tag.name();
    for family in Family::ALL {
        if config.uplink_pair(family).is_some()
            && foreign::legacy::drops(host.netns(), family, &name).map_err(netns)?
        {
            observed.legacy_drop.insert(family);
        }
    }
    let mut sockets = host.sockets();
    observed.foreign = foreign::list(&mut sockets.nft, &name).map_err(kernel)?;
    observed.foreign.retain(|chain| chain.family != "ip6" || config.uplink6.is_some());
    if observed.ipv6 && config.uplink6.is_some() {
        let routes = route::list(&mut sockets.route, Family::V6).map_err(kernel)?;
        let loopback = |route: &ListedRoute| route.local && route.to.ip() == Ipv6Addr::LOCALHOST;
        observed.loopback =
            link.is_some() && routes.iter().any(|route| loopback(route) && route.link == link);
        observed.advertised = routes.iter().any(|route| route.by_advertisement && route.to.prefix() == 0);
    }
    Ok(())
}

/// One side while it is read.
struct Found<'a> {
    side: Side,
    /// Of our link on the host, and of our tables.
    name: &'a str,
    links: Vec<Listed>,
    ipv6: bool,
}

impl Found<'_> {
    fn read(&self, sockets: &mut Sockets) -> Result<SideObserved, KernelError> {
        let mut state = SideObserved { links: self.ours(), ..SideObserved::default() };
        for listed in route::addresses(&mut sockets.route)? {
            if listed.address.ip().is_loopback() {
                continue;
            }
            if let Some(link) = self.link_name(Some(listed.link)) {
                state.addresses.insert((link, listed.address));
            }
        }
        for family in self.families() {
            let routes = route::list(&mut sockets.route, family)?;
            state.routes.extend(routes.iter().filter_map(|route| self.route(route)));
            let of_family = state.addresses.iter().filter(|(_, address)| Family::of(address.ip()) == family);
            state.unrouted.extend(of_family.filter(|at| self.is_unrouted(at, &routes)).cloned());
            if self.side == Side::Fabric {
                state.policy.extend(rule::list(&mut sockets.route, family)?);
            }
        }
        if self.side == Side::Fabric {
            let neighbours = neighbour::list(&mut sockets.route)?;
            state.neighbours.extend(neighbours.iter().filter_map(|listed| self.neighbour(listed)));
        }
        self.read_rules(&mut sockets.nft, &mut state)?;
        Ok(state)
    }

    fn read_rules(&self, nft: &mut Socket, state: &mut SideObserved) -> Result<(), KernelError> {
        for (family, table) in dump::tables(nft, self.name)? {
            state.tables.insert(family, TableObserved { digest: table.digest, rules: table.rules });
            for set in Entry::sets(self.side, family) {
                let elements = dump::elements(nft, SetRef { family, table: self.name, set })?;
                state.entries.extend(elements.iter().filter_map(|raw| Entry::read(family, set, raw)));
            }
            if self.side == Side::Fabric && family != TableFamily::Bridge {
                let set = SetRef { family, table: self.name, set: rules::SERVICES };
                state.services.extend(read_slots(&dump::elements(nft, set)?));
            }
        }
        Ok(())
    }

    fn families(&self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(|family| *family == Family::V4 || self.ipv6)
    }

    fn ours(&self) -> BTreeMap<String, LinkObserved> {
        let links = self.links.iter().filter(|link| self.is_ours(link));
        links
            .map(|link| (link.name.clone(), drift::observed_link(link, self.link_name(link.master))))
            .collect()
    }

    fn is_ours(&self, link: &Listed) -> bool {
        self.side == Side::Fabric || link.name == self.name
    }

    fn link_name(&self, index: Option<u32>) -> Option<String> {
        let index = index?;
        let link = self.links.iter().find(|link| link.index == index && self.is_ours(link))?;
        Some(link.name.clone())
    }

    /// Whether a route that the kernel makes for an address is missing. Of an IPv6 address the one to the address itself
    /// comes late, on a work queue, so it isn't asked for.
    fn is_unrouted(&self, (link, address): &(String, IpNetwork), routes: &[ListedRoute]) -> bool {
        let Some(link) = self.links.iter().find(|other| other.name == *link && other.up) else {
            return false;
        };
        let here = |route: &&ListedRoute| route.link == Some(link.index);
        let whole = with_prefix(address.ip(), Family::of(address.ip()).bits());
        let local = routes.iter().filter(here).any(|route| route.local && route.to == whole);
        let subnet = canonical(*address);
        let own = |route: &ListedRoute| route.by_kernel && route.unicast && route.to == subnet;
        (!local && address.is_ipv4()) || (subnet != whole && !routes.iter().filter(here).any(own))
    }

    fn neighbour(&self, listed: &neighbour::Listed) -> Option<NeighbourObserved> {
        let neighbour::Listed { link, address, mac } = *listed;
        Some(NeighbourObserved { link: self.link_name(Some(link))?, address, mac })
    }

    fn route(&self, route: &ListedRoute) -> Option<RouteObserved> {
        if route.by_kernel || !route.unicast {
            return None;
        }
        Some(RouteObserved { to: route.to, via: route.via, link: self.link_name(route.link)? })
    }
}

/// Whether the two ends are of one pair: each names the other's index.
fn are_each_others(ends: &BTreeMap<Side, Option<Listed>>) -> bool {
    let end = |side| ends.get(&side).and_then(Option::as_ref).filter(|link| link.kind == Kind::Veth);
    match (end(Side::Host), end(Side::Fabric)) {
        (Some(host), Some(fabric)) => host.peer == Some(fabric.index) && fabric.peer == Some(host.index),
        _ => false,
    }
}
