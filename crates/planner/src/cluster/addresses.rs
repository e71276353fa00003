//! Addresses of instances and services. What an instance or service has stays while it fits; the previous spec and
//! endpoints remember. What leaves keeps its address until the host has let go of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hoist_model::{
    EndpointMode, Endpoints, Failure, HostReport, HostSpec, NetworkId, NetworkSpec, ServiceAddress,
    ServiceKey, Subject,
};
use ipnetwork::IpNetwork;

use super::classify::Desired;
use super::conflict::static_addresses;
use super::pool::free;
use crate::claims::Claim;

/// Network address and gateway are not for instances.
const RESERVED: u128 = 2;
/// In a slice of the service range, only the first address is left out.
const RESERVED_SERVICE: u128 = 1;

/// Addresses by instance and network.
pub(super) type Addresses = BTreeMap<NetworkId, Vec<IpAddr>>;

/// Addresses that must not be given to a new instance.
#[derive(Debug, Default)]
pub(super) struct Taken(BTreeMap<NetworkId, BTreeSet<IpAddr>>);

impl Taken {
    /// What is in use now, what the last spec gave, and what services want for themselves.
    pub(super) fn of(report: &HostReport, previous: &HostSpec, services: &[Desired<'_>]) -> Self {
        let mut taken = Self::default();
        report.instances.values().for_each(|instance| taken.add(&instance.addresses));
        previous.instances.values().for_each(|instance| taken.add(&instance.addresses));
        for claim in services.iter().flat_map(static_addresses) {
            if let Claim::Address(network, address) = claim {
                taken.0.entry(network).or_default().insert(address);
            }
        }
        taken
    }

    fn add(&mut self, addresses: &Addresses) {
        for (network, addresses) in addresses {
            self.0.entry(network.clone()).or_default().extend(addresses);
        }
    }
}

/// Whether an instance may keep its addresses: each in a subnet of its network, one for each subnet.
pub(super) fn fit(
    desired: &Desired<'_>,
    addresses: &Addresses,
    networks: &BTreeMap<NetworkId, NetworkSpec>,
) -> bool {
    desired.defined.template.networks.values().all(|id| {
        let (Some(network), Some(addresses)) = (networks.get(id), addresses.get(id)) else { return false };
        let inside = |subnet: &IpNetwork| addresses.iter().any(|address| subnet.contains(*address));
        addresses.len() == network.subnets.len() && network.subnets.iter().all(inside)
    })
}

/// Addresses for a new instance: declared ones as they are, others the lowest free.
///
/// # Errors
/// A declared address outside the network's subnets, or a network that is full.
pub(super) fn give(
    desired: &Desired<'_>,
    networks: &BTreeMap<NetworkId, NetworkSpec>,
    taken: &mut Taken,
) -> Result<Addresses, Failure> {
    let template = &desired.defined.template;
    let mut given = Addresses::new();
    for (key, at) in &template.service.networks {
        let Some((id, network)) = template.networks.get(key).and_then(|id| Some((id, networks.get(id)?)))
        else {
            continue;
        };
        let declared: Vec<IpAddr> =
            at.ipv4.map(IpAddr::V4).into_iter().chain(at.ipv6.map(IpAddr::V6)).collect();
        if let Some(outside) =
            declared.iter().find(|ip| !network.subnets.iter().any(|net| net.contains(**ip)))
        {
            return Err(misplaced(desired, id, network, *outside));
        }
        for subnet in &network.subnets {
            let taken = taken.0.entry(id.clone()).or_default();
            let declared = declared.iter().find(|address| subnet.contains(**address)).copied();
            let address = declared.or_else(|| free(*subnet, RESERVED, taken));
            let address = address.ok_or_else(|| full(desired, id, *subnet))?;
            taken.insert(address);
            given.entry(id.clone()).or_default().push(address);
        }
    }
    Ok(given)
}

fn misplaced(desired: &Desired<'_>, id: &NetworkId, network: &NetworkSpec, address: IpAddr) -> Failure {
    let subnets: Vec<String> = network.subnets.iter().map(ToString::to_string).collect();
    failure(
        desired,
        format!(
            "address {address} of service {} is outside network {id} ({})",
            desired.name,
            subnets.join(", ")
        ),
        "give the network a subnet that holds the address",
    )
}

fn full(desired: &Desired<'_>, id: &NetworkId, subnet: IpNetwork) -> Failure {
    failure(
        desired,
        format!("no address is left for service {} in {subnet} of network {id}", desired.name),
        "give the network a larger subnet",
    )
}

fn failure(desired: &Desired<'_>, what: String, hint: &str) -> Failure {
    let subject = Subject::Service(desired.stack.clone(), desired.name.clone());
    Failure { subject, what, hint: Some(hint.to_owned()), permanent: true }
}

/// The services of a host with their addresses. A service has them whether or not it runs, so that its name always
/// resolves; without a ready backend it is rejected at once.
pub(super) fn endpoints(
    services: &[Desired<'_>],
    networks: &BTreeMap<NetworkId, NetworkSpec>,
    previous: &Endpoints,
) -> BTreeMap<ServiceKey, ServiceAddress> {
    let mut taken: BTreeSet<IpAddr> =
        previous.services.values().flat_map(|service| &service.addresses).copied().collect();
    let mut endpoints = BTreeMap::new();
    for service in services {
        let template = &service.defined.template;
        for (key, at) in &template.service.networks {
            let Some((id, network)) = template.networks.get(key).and_then(|id| Some((id, networks.get(id)?)))
            else {
                continue;
            };
            let key = ServiceKey {
                stack: service.stack.clone(),
                service: service.name.clone(),
                network: id.clone(),
            };
            let addresses = match service.service().endpoint_mode {
                EndpointMode::Vip => service_addresses(network, previous.services.get(&key), &mut taken),
                EndpointMode::Dnsrr => Vec::new(),
            };
            let aliases = at.aliases.clone();
            endpoints.insert(key, ServiceAddress { addresses, remote: Vec::new(), aliases });
        }
    }
    endpoints
}

/// One for each slice; a slice that is full leaves the family without one, and the name then resolves to the rest.
fn service_addresses(
    network: &NetworkSpec,
    before: Option<&ServiceAddress>,
    taken: &mut BTreeSet<IpAddr>,
) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for slice in &network.services {
        let kept =
            before.and_then(|before| before.addresses.iter().find(|address| slice.contains(**address)));
        if let Some(address) = kept.copied().or_else(|| free(*slice, RESERVED_SERVICE, taken)) {
            taken.insert(address);
            addresses.push(address);
        }
    }
    addresses
}
