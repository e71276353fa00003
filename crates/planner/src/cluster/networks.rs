//! Networks of a host: who refers to them, and which subnets they have. What is chosen once stays while the network is
//! referred to: the previous spec remembers.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{Failure, HostReport, HostSpec, Network, NetworkId, NetworkSpec, StackId, Subject};
use ipnetwork::IpNetwork;

use super::Pool;
use super::classify::Desired;
use super::pool::{overlap, prefix4, size};

/// A subnet's own address, its gateway and its broadcast address.
const UNUSABLE: u128 = 3;

/// A network as the stacks that refer to it declare it.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    pub(super) users: BTreeSet<&'a StackId>,
    /// None while every reference is external.
    pub(super) declaration: Option<&'a Network>,
    /// How many instances and services will be in it.
    pub(super) instances: u128,
    pub(super) services: u128,
}

/// All networks that services refer to.
pub(super) fn declared<'a>(services: &'a [Desired<'a>]) -> BTreeMap<NetworkId, Declared<'a>> {
    let mut found: BTreeMap<NetworkId, Declared<'a>> = BTreeMap::new();
    for service in services {
        let used =
            service.service().networks.keys().filter_map(|key| service.revision.stack.networks.get(key));
        for network in used {
            let entry = found.entry(network.id.clone()).or_insert_with(|| Declared {
                users: BTreeSet::new(),
                declaration: None,
                instances: 0,
                services: 0,
            });
            entry.users.insert(service.stack);
            entry.instances += u128::from(service.replicas());
            entry.services += 1;
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
            (Some(declaration), _) => self.declare(declaration, declared, before)?,
            (None, Some(before)) => before.clone(),
            (None, None) => self.adopt(id, declared)?,
        };
        self.chosen.insert(id.clone(), NetworkSpec { users, ..spec });
        Ok(())
    }

    fn declare(
        &self,
        declaration: &Network,
        declared: &Declared<'_>,
        before: Option<&NetworkSpec>,
    ) -> Result<NetworkSpec, Failure> {
        let mut subnets = Vec::new();
        for v6 in [false, true] {
            let given = declaration.subnets.iter().find(|subnet| subnet.is_ipv6() == v6);
            if v6 && !declaration.ipv6 && given.is_none() {
                continue;
            }
            subnets.push(self.subnet(&declaration.id, given.copied(), v6, declared, before)?);
        }
        let services = self.slices(&declaration.id, &subnets, declared.services, before)?;
        let Network { internal, unchecked, .. } = *declaration;
        Ok(NetworkSpec { users: Vec::new(), subnets, services, internal, unchecked })
    }

    /// A network that exists, but is in nobody's file any more.
    fn adopt(&self, id: &NetworkId, declared: &Declared<'_>) -> Result<NetworkSpec, Failure> {
        let Some(seen) = self.report.networks.get(id) else {
            return Err(failure(
                id,
                format!("network {id} is external, but no stack declares it"),
                "bring up the stack that declares it first, or remove `external: true`",
            ));
        };
        let services = self.slices(id, &seen.subnets, declared.services, None)?;
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
        declared: &Declared<'_>,
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
            if room(given) < declared.instances {
                let hint =
                    format!("give it a wider subnet: /{} or more", prefix4(declared.instances + UNUSABLE));
                return Err(crowded(id, given, declared.instances, &hint));
            }
            return self.not_the_hosts(id, given);
        }
        let kept = before.and_then(|before| before.subnets.iter().find(|subnet| subnet.is_ipv6() == v6));
        let alone = |kept: &&IpNetwork| !others.iter().any(|(_, subnet)| overlap(**kept, *subnet));
        if let Some(kept) = kept.filter(alone).filter(|kept| self.stays(id, **kept, declared.instances)) {
            if room(*kept) < declared.instances {
                let users: Vec<String> = declared.users.iter().map(ToString::to_string).collect();
                let hint = format!(
                    "what runs in it has addresses there: `hoist down` of {} and `hoist up` give it a wider range",
                    users.join(" and ")
                );
                return Err(crowded(id, *kept, declared.instances, &hint));
            }
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
        let search = |need: u128| {
            let found = self.pool.subnets(v6, need).find(free);
            found.or_else(|| self.pool.subnets(v6, need).find(narrower))
        };
        // While they are replaced there may be two of each.
        let found = search(2 * declared.instances + UNUSABLE);
        found.or_else(|| search(declared.instances + UNUSABLE)).ok_or_else(|| {
            let hint = "remove networks that nobody needs, or give the network a subnet of its own";
            let instances = declared.instances;
            failure(id, format!("no subnet is left for network {id} with {instances} instances"), hint)
        })
    }

    /// A chosen subnet stays while instances run in it, whatever the host routes by now; else only while it is one that
    /// would be chosen today.
    fn stays(&self, id: &NetworkId, subnet: IpNetwork, instances: u128) -> bool {
        self.runs(id) || (self.pool.has(subnet) && !self.routed(subnet) && room(subnet) >= instances)
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
        count: u128,
        before: Option<&NetworkSpec>,
    ) -> Result<Vec<IpNetwork>, Failure> {
        let chosen = self.chosen.iter().chain(&self.previous.networks).filter(|(other, _)| *other != id);
        let taken: Vec<IpNetwork> = chosen.flat_map(|(_, network)| &network.services).copied().collect();
        let free = |slice: &IpNetwork| !taken.iter().any(|other| overlap(*slice, *other));
        let slice = |subnet: &IpNetwork| {
            let v6 = subnet.is_ipv6();
            let kept = before.and_then(|before| before.services.iter().find(|slice| slice.is_ipv6() == v6));
            // A service that finds no address in it is reached by the addresses of its instances.
            let kept = kept.filter(|kept| self.pool.has_services(**kept));
            let kept = kept.filter(|kept| self.runs(id) || size(**kept) >= count + 2);
            kept.copied().or_else(|| self.pool.slices(v6, count + 2).find(free)).ok_or_else(|| {
                let hint = "remove networks that nobody needs";
                failure(id, format!("no range of service addresses is left for network {id}"), hint)
            })
        };
        subnets.iter().map(slice).collect()
    }
}

/// Instances that a subnet has addresses for.
fn room(subnet: IpNetwork) -> u128 {
    size(subnet).saturating_sub(UNUSABLE)
}

fn crowded(id: &NetworkId, subnet: IpNetwork, instances: u128, hint: &str) -> Failure {
    let room = room(subnet);
    let what = format!("network {id} has room for {room} instances in {subnet}, and {instances} are wanted");
    failure(id, what, hint)
}

fn failure(id: &NetworkId, what: String, hint: &str) -> Failure {
    Failure { subject: Subject::Network(id.clone()), what, hint: Some(hint.to_owned()), permanent: true }
}
