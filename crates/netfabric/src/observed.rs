//! What a host's network is: plain data, as read from the kernel or as it will be after operations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::entry::{Entry, Slots};
use crate::family::{Family, TableFamily};
use crate::guard::Guard;
use crate::side::Side;

/// Everything of the kernel's state that the plan depends on.
///
/// It may be kept between rounds: [`crate::Fabric::apply`] brings it up to date, so that a round in
/// which nothing changed costs no system call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The host's side: only what is ours there.
    pub host: SideObserved,
    /// The fabric's side: everything.
    pub fabric: SideObserved,
    /// Both ends of the pair are there and are each other's end.
    pub joined: bool,
    /// The kernel has IPv6.
    pub ipv6: bool,
    /// The host's IPv6 way out comes from router advertisements, which stop counting when forwarding
    /// is switched on.
    pub advertised: bool,
    /// The fabric's namespace is no longer mounted on its file.
    pub unpinned: bool,
    /// Packets to `::1` that come in by our link on the host are the host's own.
    pub loopback: bool,
    /// Chains of others that every forwarded packet of the host goes through.
    pub foreign: Vec<ForeignChain>,
    /// Families in which the legacy iptables of the host drop forwarded packets.
    pub legacy_drop: BTreeSet<Family>,
}

/// One side's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideObserved {
    /// Links by name.
    pub links: BTreeMap<String, LinkObserved>,
    /// Link and address, but those that the kernel gives: loopback and IPv6 link-local ones.
    pub addresses: BTreeSet<(String, IpNetwork)>,
    /// Routes that the kernel didn't make itself.
    pub routes: BTreeSet<RouteObserved>,
    /// Kernel parameters that matter, by their path below `/proc/sys`. What the kernel doesn't have is
    /// missing.
    pub sysctls: BTreeMap<String, String>,
    /// Our tables.
    pub tables: BTreeMap<TableFamily, TableObserved>,
    /// Entries of our tables' sets.
    pub entries: BTreeSet<Entry>,
    /// Service addresses and their slots.
    pub services: BTreeMap<IpAddr, Slots>,
    /// Neighbours that were written down and don't change by themselves.
    pub neighbours: BTreeSet<NeighbourObserved>,
    /// Addresses whose routes, which the kernel makes with them, somebody removed.
    pub unrouted: BTreeSet<(String, IpNetwork)>,
    /// Policy rules of the fabric.
    pub policy: BTreeSet<RuleObserved>,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkObserved {
    /// Whether it is a bridge.
    pub bridge: bool,
    /// Whether it is set up.
    pub up: bool,
    /// Its MTU.
    pub mtu: u32,
    /// The bridge it is a port of.
    pub master: Option<String>,
    /// What it may send, when that is noted down at it.
    pub guard: Option<Guard>,
}

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteObserved {
    /// The destination.
    pub to: IpNetwork,
    /// The next router; none when the destination is on the link itself.
    pub via: Option<IpAddr>,
    /// The link it leads out of.
    pub link: String,
}

/// Where an address is on a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NeighbourObserved {
    /// The link.
    pub link: String,
    /// The address.
    pub address: IpAddr,
    /// Its hardware address.
    pub mac: [u8; 6],
}

/// A policy rule: which routing table is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleObserved {
    /// For packets of this family.
    pub family: Family,
    /// The lowest is asked first.
    pub priority: u32,
    /// The table's number.
    pub table: u32,
}

impl fmt::Display for RuleObserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} lookup {}", self.priority, self.family, self.table)
    }
}

/// A table of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableObserved {
    /// What it was made from.
    pub digest: Option<u64>,
    /// How many rules it has.
    pub rules: usize,
}

/// A base chain of somebody else at the host's forward hook.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignChain {
    /// `ip`, `ip6` or `inet`, as `nft` calls it.
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// Whether it drops what no rule of it accepts.
    pub drops: bool,
    /// Whether our rules are in it.
    pub ours: bool,
}

impl fmt::Display for ForeignChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.chain)
    }
}

impl Observed {
    /// One side.
    pub fn side(&self, side: Side) -> &SideObserved {
        match side {
            Side::Host => &self.host,
            Side::Fabric => &self.fabric,
        }
    }

    pub(crate) fn side_mut(&mut self, side: Side) -> &mut SideObserved {
        match side {
            Side::Host => &mut self.host,
            Side::Fabric => &mut self.fabric,
        }
    }

    /// The families that this kernel has.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let ipv6 = self.ipv6;
        Family::ALL.into_iter().filter(move |family| *family == Family::V4 || ipv6)
    }
}

impl SideObserved {
    /// Forgets a link and all that depends on it.
    pub(crate) fn forget_link(&mut self, name: &str) {
        self.links.remove(name);
        self.addresses.retain(|(link, _)| link != name);
        self.routes.retain(|route| route.link != name);
        self.neighbours.retain(|neighbour| neighbour.link != name);
        self.unrouted.retain(|(link, _)| link != name);
        for link in self.links.values_mut() {
            link.master.take_if(|master| master == name);
        }
    }

    /// Forgets the elements of a family's table.
    pub(crate) fn forget_elements(&mut self, family: TableFamily) {
        self.entries.retain(|entry| entry.family() != family);
        self.services.retain(|address, _| TableFamily::Ip(Family::of(*address)) != family);
    }
}
