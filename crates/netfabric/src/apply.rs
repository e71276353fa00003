//! Carrying operations out, in order. No decisions.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use netlink_packet_netfilter::NetfilterMessage;

use crate::family::{Family, TableFamily, with_prefix};
use crate::netlink::link::{self, Peer, Veth};
use crate::netlink::neighbour;
use crate::netlink::route::{self, Hop, Prefix};
use crate::netlink::{KernelError, Request, Socket};
use crate::nft::element::{self, SetRef};
use crate::observed::{Observed, RouteObserved};
use crate::op::{Flows, Op};
use crate::place::{Place, Sockets};
use crate::side::{Side, UPLINK};
use crate::spec::FabricConfig;
use crate::{conntrack, foreign, nft, observe, rules, sysctl};

/// Packets that were on their way when the rules changed make flows again; by then they are through.
const SECOND_LOOK: Duration = Duration::from_millis(100);

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
        // Neighbouring changes of one side's rules are one transaction, and flows are looked for once.
        let kind = Kind::of(first);
        let count = rest.iter().take_while(|op| kind != Kind::Single && Kind::of(op) == kind).count().max(1);
        let (now, later) = rest.split_at(count);
        let outcome = match kind {
            Kind::Rules(side) => places.commit(side, now),
            Kind::Flows => places.forget(now),
            Kind::Single => places.carry_out(first),
        };
        outcome.map_err(|source| ApplyError { op: Box::new(first.clone()), source })?;
        now.iter().for_each(|op| op.project(observed));
        rest = later;
    }
    places.look_again(ops);
    Ok(())
}

/// How operations are carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Together, as one transaction.
    Rules(Side),
    /// Together, in one search.
    Flows,
    /// One by one.
    Single,
}

impl Kind {
    fn of(op: &Op) -> Self {
        match (op.nft_side(), op) {
            (Some(side), _) => Self::Rules(side),
            (None, Op::ForgetFlows(_)) => Self::Flows,
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
                self.host.sockets().route.request(link::veth(veth, peer)).map(drop)
            }
            Op::AddBridge { name, mac, mtu } => {
                self.fabric.sockets().route.request(link::bridge(name, *mac, *mtu)).map(drop)
            }
            Op::SetLink { side, name, mtu } => {
                self.place(*side).sockets().route.request(link::set_up(name, Some(*mtu))).map(drop)
            }
            Op::AddAddress { side, .. }
            | Op::RemoveAddress { side, .. }
            | Op::AddRoute { side, .. }
            | Op::RemoveRoute { side, .. } => change_ip(&mut self.place(*side).sockets().route, op),
            Op::AdmitLoopback { link } => {
                let mut sockets = self.host.sockets();
                let link = link::index(&mut sockets.route, link)?;
                let loopback = with_prefix(Ipv6Addr::LOCALHOST.into(), 128);
                sockets.route.request(route::add_local(loopback, link)).map(drop)
            }
            Op::AddNeighbour(neighbour) | Op::RemoveNeighbour(neighbour) => {
                let mut sockets = self.fabric.sockets();
                let link = link::index(&mut sockets.route, &neighbour.link)?;
                let request = match op {
                    Op::AddNeighbour(_) => neighbour::add(link, neighbour.address, neighbour.mac),
                    _ => neighbour::remove(link, neighbour.address),
                };
                sockets.route.request(request).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn forget(&self, ops: &[Op]) -> Result<(), KernelError> {
        for side in [Side::Fabric, Side::Host] {
            forget(side, &mut self.place(side).sockets(), &flows(ops))?;
        }
        Ok(())
    }

    /// Deletes the same flows once more after a moment, on a thread of its own.
    fn look_again(&self, ops: &[Op]) {
        let flows = flows(ops);
        let clone = |place: &Place| place.netns().try_clone_to_owned();
        if let (false, Ok(host), Ok(fabric)) = (flows.is_empty(), clone(self.host), clone(self.fabric)) {
            // Without a thread the second look is left out: the first one has deleted what there was.
            let _ = thread::Builder::new().name("hoist-flows".to_owned()).spawn(move || {
                thread::sleep(SECOND_LOOK);
                for (side, netns) in [(Side::Host, host), (Side::Fabric, fabric)] {
                    // Nobody waits for it; what fails here is seen by the next flip.
                    let _ =
                        Sockets::open(netns.as_fd()).map(|mut sockets| forget(side, &mut sockets, &flows));
                }
            });
        }
    }
}

fn flows(ops: &[Op]) -> Vec<Flows> {
    let flows = ops.iter().filter_map(|op| match op {
        Op::ForgetFlows(flows) => Some(*flows),
        _ => None,
    });
    flows.collect()
}

/// Deletes those of the flows that are on a side.
pub(crate) fn forget(side: Side, sockets: &mut Sockets, flows: &[Flows]) -> Result<(), KernelError> {
    let here: Vec<Flows> = flows.iter().filter(|flows| flows.sides().contains(&side)).copied().collect();
    if here.is_empty() {
        return Ok(());
    }
    let local = local_addresses(side, sockets)?;
    conntrack::forget(&mut sockets.nft, |flow| here.iter().any(|flows| flows.contain(flow, &local)))
}

/// Deletes UDP flows that lead elsewhere than the rules do.
pub(crate) fn forget_strays(places: Places<'_>, observed: &Observed) -> Result<(), KernelError> {
    for side in [Side::Fabric, Side::Host] {
        let mut sockets = places.place(side).sockets();
        let state = observed.side(side);
        if !state.services.is_empty() || !state.entries.is_empty() {
            let local = local_addresses(side, &mut sockets)?;
            conntrack::forget(&mut sockets.nft, |flow| conntrack::is_stray(flow, state, &local))?;
        }
    }
    Ok(())
}

/// The host's own addresses; the fabric's don't matter to flows.
fn local_addresses(side: Side, sockets: &mut Sockets) -> Result<BTreeSet<IpAddr>, KernelError> {
    match side {
        Side::Host => observe::local_addresses(&mut sockets.route),
        Side::Fabric => Ok(BTreeSet::new()),
    }
}

fn change_ip(socket: &mut Socket, op: &Op) -> Result<(), KernelError> {
    let hop = |socket: &mut Socket, route: &RouteObserved| -> Result<Hop, KernelError> {
        Ok(Hop { link: link::index(socket, &route.link)?, via: route.via, source: None })
    };
    let request = match op {
        Op::AddAddress { link, address, .. } => {
            route::add_address(link::index(socket, link)?, *address, Prefix::Routed)
        }
        Op::RemoveAddress { link, address, .. } => {
            route::remove_address(link::index(socket, link)?, *address)
        }
        Op::AddRoute { route, .. } => route::add(route.to, hop(socket, route)?),
        Op::RemoveRoute { route, .. } => route::remove(route.to, hop(socket, route)?),
        _ => return Ok(()),
    };
    socket.request(request).map(drop)
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
