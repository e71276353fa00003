//! What the host's network should be right now: networks, service addresses with their ready backends, host ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use hoist_model::{
    InstanceSpec, InstanceUid, NetworkId, Port, ServiceAddress, ServiceKey, ServiceName, StackId, Template,
};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::view::View;
use crate::claims;

/// The fabric as wanted, whole. The shell applies the difference to what it applied last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FabricWanted {
    /// Networks that exist and should go on existing. Making and removing one is a step; here for the service ranges.
    pub networks: BTreeMap<NetworkId, NetworkWanted>,
    /// Service addresses: an entry without backends rejects connections at once.
    pub services: BTreeMap<ServiceKey, ServiceWanted>,
    /// Host ports. A port is reserved as soon as it is here, with or without a target.
    pub published: BTreeMap<PublishKey, PublishWanted>,
}

/// One network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkWanted {
    /// Its subnets; the gateway is the first address of each.
    pub subnets: Vec<IpNetwork>,
    /// The ranges that its service addresses are taken from, at most one for each family of `subnets`.
    pub services: Vec<IpNetwork>,
    /// No way to the outside.
    pub internal: bool,
}

/// A service in one network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceWanted {
    /// Its addresses, at most one for each family.
    pub addresses: Vec<IpAddr>,
    /// Addresses of ready instances, here and on other hosts.
    pub backends: BTreeSet<IpAddr>,
}

/// A port to publish. A declared port belongs to the service and leads to all its ready instances; one that the host
/// chooses belongs to one instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublishKey {
    /// The stack.
    pub stack: StackId,
    /// The service.
    pub service: ServiceName,
    /// As declared.
    pub port: Port,
    /// The instance, when the host chooses the port.
    pub instance: Option<InstanceUid>,
}

/// Where a published port leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PublishWanted {
    /// At most one for each family: a service address, or an instance's where there is none. Empty: reserved, and
    /// rejected.
    pub targets: Vec<SocketAddr>,
}

/// The fabric as this plan wants it.
pub(super) fn wanted(view: &View<'_>) -> FabricWanted {
    let backends = backends(view);
    let networks = networks(view);
    let services = view
        .endpoints
        .services
        .iter()
        .filter(|(key, service)| !service.addresses.is_empty() && networks.contains_key(&key.network));
    FabricWanted {
        services: services
            .map(|(key, service)| (key.clone(), with_backends(key, service, &backends)))
            .collect(),
        published: published(view),
        networks,
    }
}

fn networks(view: &View<'_>) -> BTreeMap<NetworkId, NetworkWanted> {
    let there = view.spec.networks.iter().filter(|(id, wanted)| {
        view.observed.networks.get(*id).is_some_and(|seen| seen.subnets == wanted.subnets)
    });
    there
        .map(|(id, wanted)| {
            let (subnets, services) = (wanted.subnets.clone(), wanted.services.clone());
            (id.clone(), NetworkWanted { subnets, services, internal: wanted.internal })
        })
        .collect()
}

/// Addresses of ready instances by service. An instance that is no longer wanted serves until it is told to end.
fn backends<'a>(view: &View<'a>) -> BTreeMap<(&'a StackId, &'a ServiceName, &'a NetworkId), Vec<IpAddr>> {
    let mut backends: BTreeMap<_, Vec<IpAddr>> = BTreeMap::new();
    for (uid, instance) in &view.observed.instances {
        let slot = &instance.birth.slot;
        if view.ready(*uid) {
            for (network, addresses) in &instance.birth.addresses {
                backends.entry((&slot.stack, &slot.service, network)).or_default().extend(addresses);
            }
        }
    }
    backends
}

fn with_backends(
    key: &ServiceKey,
    service: &ServiceAddress,
    backends: &BTreeMap<(&StackId, &ServiceName, &NetworkId), Vec<IpAddr>>,
) -> ServiceWanted {
    let local = backends.get(&(&key.stack, &key.service, &key.network)).into_iter().flatten();
    let backends = local.chain(&service.remote).copied().collect();
    ServiceWanted { addresses: service.addresses.clone(), backends }
}

fn published(view: &View<'_>) -> BTreeMap<PublishKey, PublishWanted> {
    let mut published: BTreeMap<PublishKey, PublishWanted> = BTreeMap::new();
    for (uid, spec) in view.spec.instances.iter().filter(|(uid, _)| view.wanted(**uid)) {
        for key in publish_keys(view, *uid, spec) {
            let targets = targets(view, *uid, spec, &key);
            let entry = published.entry(key).or_default();
            // Where there is no service address, the first ready instance answers.
            if entry.targets.is_empty() {
                entry.targets = targets;
            }
        }
    }
    published
}

/// Every port that the spec wants published.
pub(super) fn wanted_ports(view: &View<'_>) -> BTreeSet<PublishKey> {
    let wanted = view.spec.instances.iter().filter(|(uid, _)| view.wanted(**uid));
    wanted.flat_map(|(uid, spec)| publish_keys(view, *uid, spec)).collect()
}

/// The ports that must be reserved before an instance starts.
pub(super) fn publish_keys(view: &View<'_>, uid: InstanceUid, spec: &InstanceSpec) -> Vec<PublishKey> {
    let Some(template) = view.template(spec) else { return Vec::new() };
    if !claims::publishes(&template.service) || ingress(view, template).is_none() {
        return Vec::new();
    }
    let key = |port: &Port| PublishKey {
        stack: spec.slot.stack.clone(),
        service: spec.slot.service.clone(),
        port: port.clone(),
        instance: port.published.is_none().then_some(uid),
    };
    template.service.ports.iter().map(key).collect()
}

/// The network through which published ports lead: the service's first that has a way to the outside.
fn ingress<'a>(view: &View<'_>, template: &'a Template) -> Option<&'a NetworkId> {
    networks_in_order(template)
        .into_iter()
        .find(|id| view.spec.networks.get(*id).is_some_and(|network| !network.internal))
}

/// The networks of a service as its instances have them: the one with the default route first.
pub(super) fn networks_in_order(template: &Template) -> Vec<&NetworkId> {
    let mut order: Vec<_> = template.service.networks.iter().collect();
    order.sort_by_key(|(name, at)| (-at.gateway_priority, -at.priority, (*name).clone()));
    order.into_iter().filter_map(|(name, _)| template.networks.get(name)).collect()
}

fn targets(view: &View<'_>, uid: InstanceUid, spec: &InstanceSpec, key: &PublishKey) -> Vec<SocketAddr> {
    let Some(network) = view.template(spec).and_then(|template| ingress(view, template)) else {
        return Vec::new();
    };
    let service =
        ServiceKey { stack: key.stack.clone(), service: key.service.clone(), network: network.clone() };
    let shared = view.endpoints.services.get(&service).map(|service| &service.addresses);
    let addresses = match shared {
        Some(addresses) if key.instance.is_none() && !addresses.is_empty() => addresses.as_slice(),
        _ if view.ready(uid) || key.instance.is_some() && view.alive(uid) => {
            spec.addresses.get(network).map_or(&[][..], Vec::as_slice)
        }
        _ => &[],
    };
    addresses.iter().map(|address| SocketAddr::new(*address, key.port.target)).collect()
}
