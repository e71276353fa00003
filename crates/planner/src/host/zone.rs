//! Names: what the host's DNS answers from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hoist_model::{InstanceUid, NetworkId, Template};
use ipnetwork::IpNetwork;

use super::fabric::{self, networks_in_order};
use super::traffic::Traffic;
use super::view::View;
use super::{Instance, Life};

/// All names, whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zone {
    /// Gateway addresses: where the server listens.
    pub listen: Vec<IpAddr>,
    /// Names by network.
    pub networks: BTreeMap<NetworkId, ZoneNetwork>,
    /// Who may ask, and what is different for them.
    pub clients: Vec<ZoneClient>,
}

/// The names that everything attached to one network sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ZoneNetwork {
    /// Ranges whose addresses are the fabric's own, those of service addresses included.
    pub subnets: Vec<IpNetwork>,
    /// Services, aliases, slots (`web-1`), container names, short ids, declared host names, and `tasks.<service>`.
    pub names: BTreeMap<String, ZoneRecord>,
    /// The one name of an address.
    pub reverse: BTreeMap<IpAddr, String>,
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ZoneRecord {
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Start each answer one further on (`endpoint_mode: dnsrr`).
    pub rotate: bool,
}

/// One instance as a client: its questions come from its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneClient {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its networks, in the order of answers.
    pub networks: Vec<NetworkId>,
    /// Names that lead elsewhere for it: its own service, to itself.
    pub own: BTreeMap<String, Vec<IpAddr>>,
    /// Who is asked for other names.
    pub upstream: ZoneUpstream,
}

/// Who is asked for names that the fabric doesn't have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ZoneUpstream {
    /// The host's resolvers.
    #[default]
    Host,
    /// These (`dns:`).
    Servers(Vec<IpAddr>),
    /// Nobody: it has internal networks only.
    Nobody,
}

/// The names as this plan wants them.
pub(super) fn wanted(view: &View<'_>, traffic: &Traffic<'_>) -> Zone {
    let mut zone = Zone::default();
    for (id, network) in &view.spec.networks {
        let subnets = network.subnets.iter().chain(&network.services).copied().collect();
        zone.listen.extend(network.subnets.iter().filter_map(|subnet| subnet.iter().nth(1)));
        zone.networks.insert(id.clone(), ZoneNetwork { subnets, ..ZoneNetwork::default() });
    }
    for (uid, instance) in &view.observed.instances {
        if named(view, *uid, instance) {
            name_instance(&mut zone, view, *uid, instance);
            zone.clients.extend(client(view, *uid, instance));
        }
    }
    name_services(&mut zone, view, traffic);
    name_hosts(&mut zone, view);
    zone
}

/// Whether an instance's own names resolve: while it runs, and while it starts, since it asks from the first moment on.
fn named(view: &View<'_>, uid: InstanceUid, instance: &Instance) -> bool {
    matches!(instance.life, Life::Running { .. }) || view.starting(uid)
}

/// A service resolves to its address, or to the instances that get its traffic where it has none
/// (`endpoint_mode: dnsrr`).
fn name_services(zone: &mut Zone, view: &View<'_>, traffic: &Traffic<'_>) {
    for (key, service) in &view.endpoints.services {
        let Some(network) = zone.networks.get_mut(&key.network) else { continue };
        let mut backends: Vec<IpAddr> = service.remote.clone();
        backends.extend(fabric::backends(traffic, key, service));
        network.name(&key.network, &format!("tasks.{}", key.service), &backends, true);
        let rotate = service.addresses.is_empty();
        let addresses = if rotate { &backends } else { &service.addresses };
        for name in std::iter::once(key.service.as_str()).chain(service.aliases.iter().map(String::as_str)) {
            network.name(&key.network, name, addresses, rotate);
        }
        for address in &service.addresses {
            network.reverse.insert(*address, format!("{}.{}", key.service, key.network));
        }
    }
}

fn name_instance(zone: &mut Zone, view: &View<'_>, uid: InstanceUid, instance: &Instance) {
    let slot = &instance.birth.slot;
    let known_as = view.known_as(uid, instance);
    for (id, addresses) in &instance.birth.addresses {
        let Some(network) = zone.networks.get_mut(id) else { continue };
        let mut names = BTreeSet::from([uid.short()]);
        // The names of a slot lead to one instance, the one that has its traffic.
        if view.names(uid) {
            names.extend([slot.short(), slot.container_name(), known_as.clone()]);
        }
        for name in names {
            network.name(id, &name, addresses, false);
        }
        network.reverse.extend(addresses.iter().map(|address| (*address, format!("{known_as}.{id}"))));
    }
}

/// What instances call themselves (`hostname`, `domainname`) resolves where nothing else has that name: it is declared
/// inside an instance, so it never takes over another's name.
fn name_hosts(zone: &mut Zone, view: &View<'_>) {
    let mut hosts: BTreeMap<(&NetworkId, String), Vec<IpAddr>> = BTreeMap::new();
    for (uid, instance) in &view.observed.instances {
        if named(view, *uid, instance) {
            for name in instance.birth.host_names.iter().filter(|_| view.names(*uid)) {
                for (id, addresses) in &instance.birth.addresses {
                    hosts.entry((id, name.clone())).or_default().extend(addresses);
                }
            }
        }
    }
    for ((id, name), addresses) in hosts {
        if let Some(network) = zone.networks.get_mut(id) {
            network.name_where_free(id, &name, &addresses);
        }
    }
}

fn client(view: &View<'_>, uid: InstanceUid, instance: &Instance) -> Option<ZoneClient> {
    let addresses: Vec<IpAddr> = instance.birth.addresses.values().flatten().copied().collect();
    let template = view.spec.templates.get(&instance.birth.template);
    let own = BTreeMap::from([(instance.birth.slot.service.to_string(), addresses.clone())]);
    let networks = template.map(|template| networks_in_order(template).into_iter().cloned().collect());
    let networks: Vec<NetworkId> =
        networks.unwrap_or_else(|| instance.birth.addresses.keys().cloned().collect());
    let networks = networks.into_iter().filter(|id| view.spec.networks.contains_key(id)).collect();
    let upstream = upstream(view, uid, template.map(|template| &**template));
    (!addresses.is_empty()).then_some(ZoneClient { addresses, networks, own, upstream })
}

fn upstream(view: &View<'_>, uid: InstanceUid, template: Option<&Template>) -> ZoneUpstream {
    let servers =
        template.map(|template| template.service.dns.iter().filter_map(|dns| dns.parse().ok()).collect());
    let mut attached = view.instance(uid).into_iter().flat_map(|instance| instance.birth.addresses.keys());
    let outside = attached.any(|id| view.spec.networks.get(id).is_some_and(|network| !network.internal));
    match servers {
        Some(servers) if !Vec::is_empty(&servers) => ZoneUpstream::Servers(servers),
        _ if !outside => ZoneUpstream::Nobody,
        _ => ZoneUpstream::Host,
    }
}

impl ZoneNetwork {
    /// Adds addresses to a name, bare and with the network as suffix. Stacks that share a network share its names.
    fn name(&mut self, network: &NetworkId, name: &str, addresses: &[IpAddr], rotate: bool) {
        for name in [name.to_owned(), format!("{name}.{network}")] {
            let record = self.names.entry(name).or_default();
            record.rotate |= rotate;
            record.addresses.extend(addresses);
        }
    }

    /// The same, but never for a name that something else has.
    fn name_where_free(&mut self, network: &NetworkId, name: &str, addresses: &[IpAddr]) {
        for name in [name.to_owned(), format!("{name}.{network}")] {
            if !self.names.keys().any(|taken| taken.eq_ignore_ascii_case(&name)) {
                self.names.insert(name, ZoneRecord { addresses: addresses.to_vec(), rotate: false });
            }
        }
    }
}
