//! The difference between what is wanted and what is, as operations in an order that is safe to stop
//! after any of them. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::family::Family;
use crate::observed::{LinkObserved, NeighbourObserved, Observed, RouteObserved, TableObserved};
use crate::op::Op;
use crate::side::{HELD, RELEASED, Side, UPLINK};
use crate::spec::{FabricConfig, FabricSpec, HostEnd, LinkName, Network};
use crate::{rules, wanted};

/// Ports that the kernel gives a bridge (`BR_MAX_PORTS`, less the number that is none).
const PORTS: usize = 1023;

/// Plans the way from `observed` to `spec`; empty when they agree. The spec must have passed its check.
pub fn plan(config: &FabricConfig, spec: &FabricSpec, observed: &Observed) -> Vec<Op> {
    let mut plan = Plan { config, spec, observed: observed.clone(), ops: Vec::new() };
    if plan.observed.unpinned {
        plan.push(Op::Pin);
    }
    // Parameters first: links take what is set when they appear.
    plan.sysctls();
    // Removal before addition: an address or name may move from one link to another.
    plan.stale_bridges();
    plan.uplink();
    plan.bridges();
    plan.held_link();
    plan.ports();
    plan.policy();
    for side in [Side::Fabric, Side::Host] {
        plan.addresses(side);
        plan.routes(side);
    }
    plan.loopback();
    plan.neighbours();
    // The fabric's rules first: a port must not be published before what it leads to is guarded.
    for side in [Side::Fabric, Side::Host] {
        plan.rules(side);
    }
    // After the rules, by which what waited is led.
    plan.release();
    plan.foreign_chains();
    // The host forwards for everybody once it does, so only when our own guard is up.
    plan.host_forwarding();
    plan.ops
}

/// Operations so far, and what is true after them.
struct Plan<'a> {
    config: &'a FabricConfig,
    spec: &'a FabricSpec,
    observed: Observed,
    ops: Vec<Op>,
}

impl<'a> Plan<'a> {
    fn push(&mut self, op: Op) {
        op.project(&mut self.observed);
        self.ops.push(op);
    }

    fn sysctls(&mut self) {
        for sysctl in wanted::sysctls(self.config) {
            let found = self.observed.side(sysctl.side).sysctls.get(&sysctl.key);
            if found.is_some_and(|value| value != sysctl.value) {
                let value = sysctl.value.to_owned();
                self.push(Op::SetSysctl { side: sysctl.side, key: sysctl.key, value });
            }
        }
    }

    fn stale_bridges(&mut self) {
        let wanted: BTreeSet<&str> =
            self.spec.networks.values().flat_map(Network::bridges).map(LinkName::as_str).collect();
        // A bridge that nothing names goes; so does another kind of link under a bridge's name.
        let links = self.observed.fabric.links.iter();
        let stale: Vec<String> = links
            .filter(|(name, link)| link.bridge != wanted.contains(name.as_str()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in stale {
            self.push(Op::RemoveLink { side: Side::Fabric, name });
        }
    }

    fn uplink(&mut self) {
        let name = self.config.tag.name();
        let mtu = self.config.mtu;
        if !self.observed.joined {
            for (side, name) in [(Side::Host, name.as_str()), (Side::Fabric, UPLINK)] {
                if self.observed.side(side).links.contains_key(name) {
                    self.push(Op::RemoveLink { side, name: name.to_owned() });
                }
            }
            self.push(Op::AddUplink { name: name.clone(), mtu });
            // Before it is up: what it does then depends on them.
            for (family, key, value) in wanted::host_link(&name) {
                if self.has(family) {
                    self.push(Op::SetSysctl { side: Side::Host, key, value: value.to_owned() });
                }
            }
        }
        self.set_link(Side::Host, &name, mtu);
        self.set_link(Side::Fabric, UPLINK, mtu);
        self.set_link(Side::Fabric, "lo", 65536);
    }

    fn bridges(&mut self) {
        for (network, bridge) in self.all_bridges() {
            let name = bridge.as_str();
            if !self.observed.fabric.links.contains_key(name) {
                let mac = wanted::bridge_mac(network);
                self.push(Op::AddBridge { name: name.to_owned(), mac, mtu: network.mtu });
            }
            self.set_link(Side::Fabric, name, network.mtu);
        }
    }

    /// Made when it is needed first, and kept.
    fn held_link(&mut self) {
        let there = [HELD, RELEASED].iter().all(|name| self.observed.fabric.links.contains_key(*name));
        let needed = !wanted::held(self.spec, &self.observed).is_empty();
        let mtu = self.config.mtu;
        if needed && !there {
            for name in [HELD, RELEASED] {
                if self.observed.fabric.links.contains_key(name) {
                    self.push(Op::RemoveLink { side: Side::Fabric, name: name.to_owned() });
                }
            }
            self.push(Op::AddHeld { mtu });
            for (family, key, value) in wanted::held_link() {
                if self.has(family) {
                    self.push(Op::SetSysctl { side: Side::Fabric, key, value: value.to_owned() });
                }
            }
        }
        for name in [HELD, RELEASED] {
            self.set_link(Side::Fabric, name, mtu);
        }
    }

    /// What waits is released once rules lead it somewhere, or refuse it; the route that led it there goes before, so that
    /// nothing new follows.
    fn release(&mut self) {
        let wanted = wanted::held(self.spec, &self.observed);
        let routes = self.observed.fabric.routes.iter();
        let over = routes.filter(|route| route.link == HELD && !wanted.contains_key(&route.to.ip()));
        let over: Vec<RouteObserved> = over.cloned().collect();
        for route in &over {
            self.push(Op::RemoveRoute { side: Side::Fabric, route: route.clone() });
        }
        for route in over {
            self.push(Op::Release { address: route.to.ip() });
        }
    }

    /// Ports that were set down, or lost their bridge when somebody removed it. One of which nobody knows where it
    /// belongs goes: whoever attached it sees that, and does it again.
    fn ports(&mut self) {
        let links: Vec<(String, LinkObserved)> = self
            .observed
            .fabric
            .links
            .iter()
            .filter(|(name, _)| HostEnd::parse(name).is_some())
            .map(|(name, link)| (name.clone(), link.clone()))
            .collect();
        for (port, link) in links {
            let bridge = link.master.as_deref();
            let network = match bridge {
                Some(bridge) => self.spec.networks.values().find(|network| has_bridge(network, bridge)),
                None => wanted::network_of(self.spec, &link),
            };
            match (network, &link.guard) {
                (Some(network), Some(guard)) if bridge.is_none() => {
                    let (bridge, isolated) = (self.room(network), !network.icc);
                    self.push(Op::JoinPort { port: port.clone(), bridge, mac: guard.mac, isolated });
                }
                (None, _) if bridge.is_none() => {
                    self.push(Op::RemoveLink { side: Side::Fabric, name: port });
                    continue;
                }
                _ => {}
            }
            if let Some(network) = network {
                self.set_link(Side::Fabric, &port, network.mtu);
            }
        }
    }

    /// The first bridge of a network that has a place left; it is made when it isn't there.
    fn room(&mut self, network: &Network) -> String {
        let ports = |bridge: &LinkName| {
            let links = self.observed.fabric.links.values();
            links.filter(|link| link.master.as_deref() == Some(bridge.as_str())).count()
        };
        let free = network.bridges().find(|bridge| ports(bridge) < PORTS).unwrap_or(&network.bridge);
        let name = free.to_string();
        if !self.observed.fabric.links.contains_key(&name) {
            let (mac, mtu) = (wanted::bridge_mac(network), network.mtu);
            self.push(Op::AddBridge { name: name.clone(), mac, mtu });
        }
        name
    }

    fn policy(&mut self) {
        let wanted = wanted::policy(&self.observed);
        let found = self.observed.fabric.policy.clone();
        // Addition first: without the main table nothing has a way.
        for rule in wanted.difference(&found) {
            self.push(Op::AddRule(*rule));
        }
        for rule in found.difference(&wanted) {
            self.push(Op::RemoveRule(*rule));
        }
    }

    fn all_bridges(&self) -> Vec<(&'a Network, &'a LinkName)> {
        let networks = self.spec.networks.values();
        let bridges = networks.flat_map(|network| {
            wanted::bridges(network, &self.observed)
                .map(|bridge| bridge.as_str().to_owned())
                .collect::<Vec<_>>()
        });
        let there: BTreeSet<String> = bridges.collect();
        let networks = self.spec.networks.values();
        let all = networks.flat_map(|network| network.bridges().map(move |bridge| (network, bridge)));
        all.filter(|(_, bridge)| there.contains(bridge.as_str())).collect()
    }

    fn set_link(&mut self, side: Side, name: &str, mtu: u32) {
        let found = self.observed.side(side).links.get(name);
        if found.is_some_and(|link| !link.up || link.mtu != mtu) {
            self.push(Op::SetLink { side, name: name.to_owned(), mtu });
        }
    }

    fn addresses(&mut self, side: Side) {
        let wanted = wanted::addresses(self.config, self.spec, &self.observed, side);
        let found = self.observed.side(side).addresses.clone();
        for (link, address) in found.difference(&wanted).cloned() {
            self.push(Op::RemoveAddress { side, link, address });
        }
        for (link, address) in wanted.difference(&found).cloned() {
            if self.has(Family::of(address.ip())) {
                self.push(Op::AddAddress { side, link, address });
            }
        }
        let unrouted = self.observed.side(side).unrouted.clone();
        for (link, address) in unrouted.intersection(&wanted).cloned() {
            self.push(Op::RenewAddress { side, link, address });
        }
    }

    fn routes(&mut self, side: Side) {
        let wanted = wanted::routes(self.config, self.spec, &self.observed, side);
        let found = self.observed.side(side).routes.clone();
        let replaced = |route: &RouteObserved| wanted.iter().any(|other| other.to == route.to);
        let gone = found.difference(&wanted).filter(|route| !replaced(route) && route.link != HELD);
        for route in gone.cloned() {
            self.push(Op::RemoveRoute { side, route });
        }
        for route in wanted.difference(&found).cloned() {
            if self.has(Family::of(route.to.ip())) {
                self.push(Op::AddRoute { side, route });
            }
        }
    }

    /// Connections from `::1` to published ports are translated, and their answers come in by our link.
    fn loopback(&mut self) {
        if !self.observed.loopback && self.has(Family::V6) && self.config.uplink_pair(Family::V6).is_some() {
            self.push(Op::AdmitLoopback { link: self.config.tag.name() });
        }
    }

    fn neighbours(&mut self) {
        let wanted = wanted::neighbours(self.spec, &self.observed);
        let found = self.observed.fabric.neighbours.clone();
        let moved = |neighbour: &NeighbourObserved| {
            wanted.iter().any(|other| (&other.link, other.address) == (&neighbour.link, neighbour.address))
        };
        for neighbour in found.difference(&wanted).filter(|neighbour| !moved(neighbour)).cloned() {
            self.push(Op::RemoveNeighbour(neighbour));
        }
        for neighbour in wanted.difference(&found).cloned() {
            self.push(Op::AddNeighbour(neighbour));
        }
    }

    fn rules(&mut self, side: Side) {
        for family in wanted::tables(self.spec, &self.observed, side) {
            let Some(table) = rules::table(self.config, side, family) else { continue };
            let wanted = TableObserved { digest: Some(table.digest()), rules: table.rules() };
            if self.observed.side(side).tables.get(&family) != Some(&wanted) {
                self.push(Op::ReplaceTable { side, family, table: wanted });
            }
        }
        self.entries(side);
        if side == Side::Fabric {
            self.services();
        }
    }

    fn entries(&mut self, side: Side) {
        let mut wanted = wanted::entries(self.config, self.spec, &self.observed);
        wanted.retain(|entry| entry.side() == side);
        let found = self.observed.side(side).entries.clone();
        // A key that leads elsewhere now has to go before it can come back.
        for entry in found.difference(&wanted).cloned() {
            self.push(Op::RemoveEntry(entry));
        }
        for entry in wanted.difference(&found).cloned() {
            self.push(Op::AddEntry(entry));
        }
    }

    fn services(&mut self) {
        let wanted = wanted::services(self.spec, &self.observed);
        let found = self.observed.fabric.services.clone();
        let addresses: BTreeSet<IpAddr> = wanted.keys().chain(found.keys()).copied().collect();
        for address in addresses {
            let from = found.get(&address).cloned().unwrap_or_default();
            let to = wanted.get(&address).cloned().unwrap_or_default();
            if from != to {
                self.push(Op::FillService { address, from, to });
            }
        }
    }

    fn foreign_chains(&mut self) {
        let closed: Vec<_> =
            self.observed.foreign.iter().filter(|chain| chain.drops && !chain.ours).cloned().collect();
        for chain in closed {
            self.push(Op::AllowForward { chain, link: self.config.tag.name() });
        }
    }

    fn host_forwarding(&mut self) {
        for family in Family::ALL {
            let key = wanted::forwarding(family);
            let off = self.observed.host.sysctls.get(key).is_some_and(|value| value == "0");
            let would_cut_off = family == Family::V6 && self.observed.advertised;
            if off && !would_cut_off && self.config.uplink_pair(family).is_some() {
                self.push(Op::SetSysctl { side: Side::Host, key: key.to_owned(), value: "1".to_owned() });
            }
        }
    }

    fn has(&self, family: Family) -> bool {
        self.observed.families().any(|known| known == family)
    }
}

fn has_bridge(network: &Network, name: &str) -> bool {
    network.bridges().any(|bridge| bridge.as_str() == name)
}

#[cfg(test)]
mod tests;
