//! Carrying operations out, in order. No decisions.

use std::collections::BTreeMap;
use std::io;

use netlink_packet_netfilter::NetfilterMessage;

use crate::family::{Family, TableFamily};
use crate::netlink::link::{self, Peer, Veth};
use crate::netlink::route::{self, Hop, Prefix};
use crate::netlink::rtnl::{Change, Rtnl};
use crate::netlink::{KernelError, Request, neighbour, rule};
use crate::nft::element::{self, SetRef};
use crate::observed::{Observed, RouteObserved};
use crate::op::Op;
use crate::place::Place;
use crate::side::{HELD, RELEASED, RELEASED_MAC, Side, UPLINK};
use crate::spec::FabricConfig;
use crate::{foreign, netns, nft, rules, sysctl};

/// The operation that failed; those before it are done, those after it are not.
#[derive(Debug, thiserror::Error)]
#[error("the fabric couldn't be changed ({op})")]
pub struct ApplyError {
    /// The operation, or the first of a transaction that was refused as a whole.
    pub op: Box<Op>,
    /// What the kernel refused.
    #[source]
    pub source: KernelError,
}

/// Both sides, to be changed.
#[derive(Clone, Copy)]
pub(crate) struct Places<'a> {
    pub(crate) config: &'a FabricConfig,
    pub(crate) host: &'a Place,
    pub(crate) fabric: &'a Place,
}

/// Carries `ops` out and brings `observed` up to date; after an error it has what was done until then,
/// and the caller observes anew.
pub(crate) fn apply(places: Places<'_>, ops: &[Op], observed: &mut Observed) -> Result<(), ApplyError> {
    let mut rest = ops;
    while let Some(first) = rest.first() {
        // Neighbouring changes of one side's rules are one transaction.
        let kind = Kind::of(first);
        let count = rest.iter().take_while(|op| kind != Kind::Single && Kind::of(op) == kind).count().max(1);
        let (now, later) = rest.split_at(count);
        let outcome = match kind {
            Kind::Rules(side) => places.commit(side, now),
            Kind::Ip(side) => change_ip(&mut places.place(side).sockets().route, now),
            Kind::Single => places.carry_out(first),
        };
        outcome.map_err(|source| ApplyError { op: Box::new(first.clone()), source })?;
        now.iter().for_each(|op| op.project(observed));
        rest = later;
    }
    Ok(())
}

/// How operations are carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Together, as one transaction.
    Rules(Side),
    /// Together, in one burst: addresses, routes and neighbours of a side.
    Ip(Side),
    /// One by one.
    Single,
}

impl Kind {
    fn of(op: &Op) -> Self {
        match (op.nft_side(), op) {
            (Some(side), _) => Self::Rules(side),
            (
                None,
                Op::AddAddress { side, .. }
                | Op::RemoveAddress { side, .. }
                | Op::RenewAddress { side, .. }
                | Op::AddRoute { side, .. }
                | Op::RemoveRoute { side, .. },
            ) => Self::Ip(*side),
            (None, Op::AddNeighbour(_) | Op::RemoveNeighbour(_)) => Self::Ip(Side::Fabric),
            (None, _) => Self::Single,
        }
    }
}

impl Places<'_> {
    fn place(&self, side: Side) -> &Place {
        match side {
            Side::Host => self.host,
            Side::Fabric => self.fabric,
        }
    }

    fn commit(&self, side: Side, ops: &[Op]) -> Result<(), KernelError> {
        let requests = ops.iter().flat_map(|op| requests(self.config, op)).collect();
        nft::commit(&mut self.place(side).sockets().nft, requests)
    }

    fn carry_out(&self, op: &Op) -> Result<(), KernelError> {
        match op {
            Op::SetSysctl { side, key, value } => sysctl::write(self.place(*side).netns(), key, value),
            Op::RemoveLink { side, name } => link::remove(&mut self.place(*side).sockets().route, name),
            Op::AddUplink { name, mtu } => {
                let veth = Veth { name, mtu: *mtu };
                let peer = Peer { name: UPLINK, netns: self.fabric.netns(), mac: None };
                self.host.sockets().route.change(link::veth(veth, peer))
            }
            Op::AddHeld { mtu } => {
                let veth = Veth { name: HELD, mtu: *mtu };
                let netns = self.fabric.netns();
                let peer = Peer { name: RELEASED, netns, mac: Some(RELEASED_MAC) };
                self.fabric.sockets().route.change(link::veth(veth, peer))
            }
            Op::Release { address } => {
                let rtnl = &mut self.fabric.sockets().route;
                let link = link::index(rtnl, HELD)?;
                // Known for a moment, in which the kernel sends all that waits; then unknown again, for the next time.
                rtnl.changes(vec![
                    neighbour::answer(link, *address, RELEASED_MAC),
                    neighbour::remove(link, *address),
                ])
            }
            Op::AddBridge { name, mac, mtu } => {
                self.fabric.sockets().route.change(link::bridge(name, *mac, *mtu))
            }
            Op::SetLink { side, name, mtu } => {
                self.place(*side).sockets().route.change(link::set_up(name, Some(*mtu)))
            }
            Op::Pin => {
                let pinned = netns::pin(self.fabric.netns(), &self.config.netns_path);
                pinned
                    .map_err(|error| KernelError::new("pin the fabric's namespace", io::Error::other(error)))
            }
            Op::JoinPort { port, bridge, mac, isolated } => {
                let rtnl = &mut self.fabric.sockets().route;
                let bridge = link::index(rtnl, bridge)?;
                let index = link::index(rtnl, port)?;
                let mut changes = vec![link::join(port, bridge), neighbour::behind(index, *mac)];
                changes.extend(isolated.then(|| link::isolate(port, index)));
                rtnl.changes(changes)
            }
            Op::AddRule(rule) => self.fabric.sockets().route.change(rule::add(*rule)),
            Op::RemoveRule(rule) => self.fabric.sockets().route.change(rule::remove(*rule)),
            Op::AdmitLoopback { link } => {
                let mut sockets = self.host.sockets();
                let link = link::index(&mut sockets.route, link)?;
                sockets.route.change(route::admit_loopback(link))
            }
            _ => Ok(()),
        }
    }
}

/// Carries out neighbouring changes of addresses, routes and neighbours.
fn change_ip(rtnl: &mut Rtnl, ops: &[Op]) -> Result<(), KernelError> {
    let mut indices = BTreeMap::new();
    for link in ops.iter().filter_map(link_of) {
        if !indices.contains_key(link) {
            indices.insert(link, link::index(rtnl, link)?);
        }
    }
    let changes = |op| Some(ip_changes(op, *indices.get(link_of(op)?)?));
    rtnl.changes(ops.iter().filter_map(changes).flatten().collect())
}

/// The link whose addresses, routes or neighbours an operation changes.
fn link_of(op: &Op) -> Option<&str> {
    match op {
        Op::AddAddress { link, .. } | Op::RemoveAddress { link, .. } | Op::RenewAddress { link, .. } => {
            Some(link)
        }
        Op::AddRoute { route, .. } | Op::RemoveRoute { route, .. } => Some(&route.link),
        Op::AddNeighbour(neighbour) | Op::RemoveNeighbour(neighbour) => Some(&neighbour.link),
        _ => None,
    }
}

fn ip_changes(op: &Op, link: u32) -> Vec<Change> {
    let hop = |route: &RouteObserved| Hop { link, via: route.via, source: None };
    match op {
        Op::AddAddress { address, .. } => vec![route::add_address(link, *address, Prefix::Routed)],
        Op::RemoveAddress { address, .. } => vec![route::remove_address(link, *address)],
        Op::RenewAddress { address, .. } => {
            vec![route::remove_address(link, *address), route::add_address(link, *address, Prefix::Routed)]
        }
        Op::AddRoute { route, .. } => vec![route::add(route.to, hop(route))],
        Op::RemoveRoute { route, .. } => vec![route::remove(route.to, hop(route))],
        Op::AddNeighbour(neighbour) => vec![neighbour::add(link, neighbour.address, neighbour.mac)],
        Op::RemoveNeighbour(neighbour) => vec![neighbour::remove(link, neighbour.address)],
        _ => Vec::new(),
    }
}

/// The messages of one operation on nf_tables.
fn requests(config: &FabricConfig, op: &Op) -> Vec<Request<NetfilterMessage>> {
    let name = config.tag.name();
    let set = |family: TableFamily, set| SetRef { family, table: &name, set };
    match op {
        Op::ReplaceTable { side, family, .. } => {
            rules::table(config, *side, *family).map(|table| table.replace()).unwrap_or_default()
        }
        Op::AddEntry(entry) => element::add(set(entry.family(), entry.set()), &[entry.raw()]),
        Op::RemoveEntry(entry) => element::remove(set(entry.family(), entry.set()), &[entry.raw()]),
        Op::FillService { address, from, to } => {
            let (remove, add) = from.changes(*address, to);
            let set = set(Family::of(*address).into(), rules::SERVICES);
            element::remove(set, &remove).into_iter().chain(element::add(set, &add)).collect()
        }
        Op::AllowForward { chain, link } => foreign::allow(chain, link, &name),
        _ => Vec::new(),
    }
}
