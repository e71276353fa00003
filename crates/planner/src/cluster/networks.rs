//! Networks of a host: who refers to them, and which subnets they have. What is chosen once stays while the network is
//! referred to: the previous spec remembers.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{Failure, HostReport, HostSpec, Network, NetworkId, NetworkSpec, StackId, Subject};
use ipnetwork::IpNetwork;

use super::Pool;
use super::classify::Desired;
use super::pool::overlap;

/// A network as the stacks that refer to it declare it.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    pub(super) users: BTreeSet<&'a StackId>,
    /// None while every reference is external.
    pub(super) declaration: Option<&'a Network>,
}

/// All networks that services refer to.
pub(super) fn declared<'a>(services: &'a [Desired<'a>]) -> BTreeMap<NetworkId, Declared<'a>> {
    let mut found: BTreeMap<NetworkId, Declared<'a>> = BTreeMap::new();
    for service in services {
        let used =
            service.service().networks.keys().filter_map(|key| service.revision.stack.networks.get(key));
        for network in used {
            let entry = found
                .entry(network.id.clone())
                .or_insert_with(|| Declared { users: BTreeSet::new(), declaration: None });
            entry.users.insert(service.stack);
            if !network.external && entry.declaration.is_none() {
                entry.declaration = Some(network);
            }
        }
    }
    found
}

/// Networks of a host in the making.
#[derive(Debug)]
pub(super) struct Networks<'a> {
    pub(super) pool: &'a Pool,
    pub(super) previous: &'a HostSpec,
    pub(super) report: &'a HostReport,
    pub(super) chosen: BTreeMap<NetworkId, NetworkSpec>,
}

impl Networks<'_> {
    /// Gives a network its subnets and service ranges.
    ///
    /// # Errors
    /// It is external and doesn't exist, its subnet is taken, or the pool has none left.
    pub(super) fn add(&mut self, id: &NetworkId, declared: &Declared<'_>) -> Result<(), Failure> {
        let users = declared.users.iter().map(|user| (*user).clone()).collect();
        let before = self.previous.networks.get(id);
        let spec = match (declared.declaration, before) {
            (Some(declaration), _) => self.declare(declaration, before)?,
            (None, Some(before)) => before.clone(),
            (None, None) => self.adopt(id)?,
        };
        self.chosen.insert(id.clone(), NetworkSpec { users, ..spec });
        Ok(())
    }

    fn declare(&self, declaration: &Network, before: Option<&NetworkSpec>) -> Result<NetworkSpec, Failure> {
        let mut subnets = Vec::new();
        for v6 in [false, true] {
            let given = declaration.subnets.iter().find(|subnet| subnet.is_ipv6() == v6);
            if v6 && !declaration.ipv6 && given.is_none() {
                continue;
            }
            subnets.push(self.subnet(&declaration.id, given.copied(), v6, before)?);
        }
        let services = self.slices(&declaration.id, &subnets, before)?;
        let Network { internal, unchecked, .. } = *declaration;
        Ok(NetworkSpec { users: Vec::new(), subnets, services, internal, unchecked })
    }

    /// A network that exists, but is in nobody's file any more.
    fn adopt(&self, id: &NetworkId) -> Result<NetworkSpec, Failure> {
        let Some(seen) = self.report.networks.get(id) else {
            return Err(failure(
                id,
                format!("network {id} is external, but no stack declares it"),
                "bring up the stack that declares it first, or remove `external: true`",
            ));
        };
        let services = self.slices(id, &seen.subnets, None)?;
        Ok(NetworkSpec {
            users: Vec::new(),
            subnets: seen.subnets.clone(),
            services,
            internal: false,
            unchecked: false,
        })
    }

    fn subnet(
        &self,
        id: &NetworkId,
        given: Option<IpNetwork>,
        v6: bool,
        before: Option<&NetworkSpec>,
    ) -> Result<IpNetwork, Failure> {
        let others: Vec<(&NetworkId, IpNetwork)> = self.others(id).collect();
        if let Some(given) = given {
            let given = IpNetwork::new(given.network(), given.prefix()).unwrap_or(given);
            let taken = others.iter().find(|(_, subnet)| overlap(given, *subnet));
            if let Some((other, subnet)) = taken {
                return Err(failure(
                    id,
                    format!("network {id} wants subnet {given}, which overlaps {subnet} of network {other}"),
                    "choose another subnet",
                ));
            }
            return self.not_the_hosts(id, given);
        }
        let kept = before.and_then(|before| before.subnets.iter().find(|subnet| subnet.is_ipv6() == v6));
        let alone = |kept: &&IpNetwork| !others.iter().any(|(_, subnet)| overlap(**kept, *subnet));
        if let Some(kept) = kept.filter(alone).filter(|kept| self.stays(id, **kept)) {
            return Ok(*kept);
        }
        let free = |candidate: &IpNetwork| {
            !self.routed(*candidate) && !others.iter().any(|(_, subnet)| overlap(*candidate, *subnet))
        };
        // Under a wide route, such as a VPN's to everything, what is more exact goes before it.
        let narrower = |candidate: &IpNetwork| {
            let mut routes = self.report.routes.iter();
            !routes.any(|route| overlap(*candidate, *route) && route.prefix() >= candidate.prefix())
                && !others.iter().any(|(_, subnet)| overlap(*candidate, *subnet))
        };
        let found = self.pool.subnets(v6).find(free).or_else(|| self.pool.subnets(v6).find(narrower));
        found.ok_or_else(|| {
            let hint = "remove networks that nobody needs, or give the network a subnet of its own";
            failure(id, format!("no subnet is left for network {id}"), hint)
        })
    }

    /// A chosen subnet stays while instances run in it, whatever the host routes by now; else only while it is one that
    /// would be chosen today.
    fn stays(&self, id: &NetworkId, subnet: IpNetwork) -> bool {
        self.runs(id) || (self.pool.has(subnet) && !self.routed(subnet))
    }

    fn runs(&self, id: &NetworkId) -> bool {
        let mut instances = self.report.instances.values();
        instances.any(|instance| instance.pid.is_some() && instance.addresses.contains_key(id))
    }

    fn routed(&self, subnet: IpNetwork) -> bool {
        self.report.routes.iter().any(|route| route.prefix() > 0 && overlap(subnet, *route))
    }

    /// A declared subnet may lie in a wider route of the host, before which it goes; what lies inside of it would be
    /// cut off from the host.
    fn not_the_hosts(&self, id: &NetworkId, given: IpNetwork) -> Result<IpNetwork, Failure> {
        let inside = |route: &&IpNetwork| {
            overlap(given, **route) && route.prefix() >= given.prefix() && !self.runs(id)
        };
        match self.report.routes.iter().find(inside) {
            Some(route) => Err(failure(
                id,
                format!("network {id} wants subnet {given}, but this host has {route} elsewhere"),
                "choose another subnet",
            )),
            None => Ok(given),
        }
    }

    /// Subnets of other networks: those to be, and those still there.
    fn others<'b>(&'b self, id: &'b NetworkId) -> impl Iterator<Item = (&'b NetworkId, IpNetwork)> {
        let chosen = self.chosen.iter().map(|(id, network)| (id, &network.subnets));
        let previous = self.previous.networks.iter().map(|(id, network)| (id, &network.subnets));
        let seen = self.report.networks.iter().map(|(id, network)| (id, &network.subnets));
        let all = chosen.chain(previous).chain(seen).filter(move |(other, _)| *other != id);
        all.flat_map(|(other, subnets)| subnets.iter().map(move |subnet| (other, *subnet)))
    }

    /// For each subnet a slice of the service range of its family.
    fn slices(
        &self,
        id: &NetworkId,
        subnets: &[IpNetwork],
        before: Option<&NetworkSpec>,
    ) -> Result<Vec<IpNetwork>, Failure> {
        let chosen = self.chosen.iter().chain(&self.previous.networks).filter(|(other, _)| *other != id);
        let taken: BTreeSet<IpNetwork> = chosen.flat_map(|(_, network)| &network.services).copied().collect();
        let slice = |subnet: &IpNetwork| {
            let v6 = subnet.is_ipv6();
            let kept = before.and_then(|before| before.services.iter().find(|slice| slice.is_ipv6() == v6));
            let kept = kept.filter(|kept| self.pool.has_services(**kept));
            kept.copied().or_else(|| self.pool.slices(v6).find(|slice| !taken.contains(slice))).ok_or_else(
                || {
                    let hint = "remove networks that nobody needs";
                    failure(id, format!("no range of service addresses is left for network {id}"), hint)
                },
            )
        };
        subnets.iter().map(slice).collect()
    }
}

fn failure(id: &NetworkId, what: String, hint: &str) -> Failure {
    Failure { subject: Subject::Network(id.clone()), what, hint: Some(hint.to_owned()), permanent: true }
}
