//! What the host's network should be right now: networks, service addresses with their backends, host ports. Who is a
//! backend is `traffic`'s rule.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use hoist_model::{
    InstanceSpec, InstanceUid, Moment, NetworkId, Port, ServiceAddress, ServiceKey, ServiceName, StackId,
    Template,
};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::traffic::Traffic;
use super::view::View;
use super::{Instance, Life, gap};
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
    /// Running instances with networks of their own, and how many interfaces each has there.
    pub attached: BTreeMap<InstanceUid, usize>,
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
    /// Instances may send whatever they like.
    pub unchecked: bool,
}

/// A service in one network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceWanted {
    /// Its addresses, at most one for each family.
    pub addresses: Vec<IpAddr>,
    /// Addresses of the instances that get its traffic, here and on other hosts.
    pub backends: BTreeSet<IpAddr>,
    /// Nobody is there, because Hoist made it so: new connections wait. Only without backends.
    pub held: bool,
}

/// A port to publish. A declared port belongs to the service and leads to all its instances that get traffic; one that
/// the host chooses belongs to one slot, whichever instance fills it, and leads there while that one runs and isn't about
/// to be told to end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublishKey {
    /// The stack.
    pub stack: StackId,
    /// The service.
    pub service: ServiceName,
    /// As declared.
    pub port: Port,
    /// The slot's number, when the host chooses the port.
    #[serde(default)]
    pub slot: Option<u32>,
}

/// Where a published port leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PublishWanted {
    /// At most one for each family: a service address, or an instance's where there is none. Empty: reserved, and
    /// rejected.
    pub targets: Vec<SocketAddr>,
}

impl FabricWanted {
    /// Every address that it leads new traffic to.
    #[must_use]
    pub fn destinations(&self) -> BTreeSet<IpAddr> {
        let backends = self.services.values().flat_map(|service| service.backends.iter().copied());
        let targets = self.published.values().flat_map(|port| port.targets.iter().map(SocketAddr::ip));
        backends.chain(targets).collect()
    }
}

/// The fabric as this plan wants it.
pub(super) fn wanted(
    view: &View<'_>,
    traffic: &Traffic<'_>,
    gaps: &BTreeMap<InstanceUid, Moment>,
) -> FabricWanted {
    let networks = networks(view);
    let services = view
        .endpoints
        .services
        .iter()
        .filter(|(key, service)| !service.addresses.is_empty() && networks.contains_key(&key.network));
    FabricWanted {
        services: services
            .map(|(key, service)| {
                let held = gap::is_held(view, gaps, key);
                (key.clone(), with_backends(traffic, key, service, held))
            })
            .collect(),
        published: published(view, traffic),
        attached: attached(view),
        networks,
    }
}

fn attached(view: &View<'_>) -> BTreeMap<InstanceUid, usize> {
    let running =
        view.observed.instances.iter().filter(|(_, seen)| matches!(seen.life, Life::Running { .. }));
    let interfaces = running.map(|(uid, seen)| (*uid, seen.birth.addresses.len()));
    interfaces.filter(|(_, count)| *count > 0).collect()
}

fn networks(view: &View<'_>) -> BTreeMap<NetworkId, NetworkWanted> {
    let there = view.spec.networks.iter().filter(|(id, wanted)| {
        view.observed.networks.get(*id).is_some_and(|seen| seen.subnets == wanted.subnets)
    });
    there
        .map(|(id, wanted)| {
            let (subnets, services) = (wanted.subnets.clone(), wanted.services.clone());
            let (internal, unchecked) = (wanted.internal, wanted.unchecked);
            (id.clone(), NetworkWanted { subnets, services, internal, unchecked })
        })
        .collect()
}

/// While connections are held, only who is ready gets them.
fn with_backends(
    traffic: &Traffic<'_>,
    key: &ServiceKey,
    service: &ServiceAddress,
    held: bool,
) -> ServiceWanted {
    let here = traffic.serving(key, held || !service.remote.is_empty()).flatten().copied();
    let backends: BTreeSet<IpAddr> = here.chain(service.remote.iter().copied()).collect();
    let held = held && backends.is_empty();
    ServiceWanted { addresses: service.addresses.clone(), backends, held }
}

/// Addresses on this host that get a service's traffic in one network.
pub(super) fn backends(
    traffic: &Traffic<'_>,
    key: &ServiceKey,
    service: &ServiceAddress,
) -> impl Iterator<Item = IpAddr> {
    traffic.serving(key, !service.remote.is_empty()).flatten().copied()
}

fn published(view: &View<'_>, traffic: &Traffic<'_>) -> BTreeMap<PublishKey, PublishWanted> {
    let mut published: BTreeMap<PublishKey, PublishWanted> = BTreeMap::new();
    for (uid, spec) in view.spec.instances.iter().filter(|(uid, _)| view.wanted(**uid)) {
        let keys = publish_keys(view, spec);
        for key in keys.into_iter().chain(left_ports(view, spec)) {
            let targets = targets(view, traffic, *uid, spec, &key);
            let entry = published.entry(key).or_default();
            if entry.targets.is_empty() {
                entry.targets = targets;
            }
        }
    }
    published
}

/// Ports that the file has no longer, but the instance that still has the traffic does; unless somebody else wants them.
fn left_ports(view: &View<'_>, spec: &InstanceSpec) -> Vec<PublishKey> {
    let Some(old) = serving(view, spec) else { return Vec::new() };
    let wanted = wanted_ports(view);
    let free = |key: &PublishKey| {
        let clashes = |other: &&PublishKey| {
            (other.port.published, other.port.protocol) == (key.port.published, key.port.protocol)
        };
        key.port.published.is_some() && !wanted.iter().any(|other| clashes(&other))
    };
    let ports = old.birth.handover.ports.iter().map(|port| publish_key(spec, port));
    ports.filter(free).collect()
}

/// The instance before this one, while that still has the traffic.
fn serving<'a>(view: &View<'a>, spec: &InstanceSpec) -> Option<&'a Instance> {
    let outgoing = view.outgoing.get(&spec.slot)?;
    view.instance(*outgoing.iter().find(|uid| view.serves(**uid))?)
}

fn publish_key(spec: &InstanceSpec, port: &Port) -> PublishKey {
    PublishKey {
        stack: spec.slot.stack.clone(),
        service: spec.slot.service.clone(),
        port: port.clone(),
        slot: port.published.is_none().then_some(spec.slot.index),
    }
}

/// Every port that the spec wants published.
pub(super) fn wanted_ports(view: &View<'_>) -> BTreeSet<PublishKey> {
    let wanted = view.spec.instances.iter().filter(|(uid, _)| view.wanted(**uid));
    wanted.flat_map(|(_, spec)| publish_keys(view, spec)).collect()
}

/// The ports that must be reserved before an instance starts.
pub(super) fn publish_keys(view: &View<'_>, spec: &InstanceSpec) -> Vec<PublishKey> {
    let Some(template) = view.template(spec) else { return Vec::new() };
    if !claims::publishes(&template.service) || ingress(view, template).is_none() {
        return Vec::new();
    }
    template.service.ports.iter().map(|port| publish_key(spec, port)).collect()
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

fn targets(
    view: &View<'_>,
    traffic: &Traffic<'_>,
    uid: InstanceUid,
    spec: &InstanceSpec,
    key: &PublishKey,
) -> Vec<SocketAddr> {
    let Some(network) = view.template(spec).and_then(|template| ingress(view, template)) else {
        return Vec::new();
    };
    let new = || spec.addresses.get(network).filter(|_| view.alive(uid) && !view.withdrawn(uid));
    let own = || match serving(view, spec) {
        Some(old) => old.birth.addresses.get(network),
        None => new(),
    };
    let service = || shared(view, traffic, key, network);
    let addresses = if key.slot.is_some() { own().map(Vec::as_slice) } else { service() };
    let at = |address: &IpAddr| SocketAddr::new(*address, key.port.target);
    addresses.unwrap_or_default().iter().map(at).collect()
}

/// Where a port of a service leads: to the service's addresses, or to the first instance that gets its traffic where
/// it has none (`endpoint_mode: dnsrr`).
fn shared<'a>(
    view: &View<'a>,
    traffic: &Traffic<'a>,
    key: &PublishKey,
    network: &NetworkId,
) -> Option<&'a [IpAddr]> {
    let service =
        ServiceKey { stack: key.stack.clone(), service: key.service.clone(), network: network.clone() };
    let addresses = view.endpoints.services.get(&service).map(|service| service.addresses.as_slice());
    let first = || traffic.serving(&service, false).next();
    addresses.filter(|addresses| !addresses.is_empty()).or_else(first)
}
