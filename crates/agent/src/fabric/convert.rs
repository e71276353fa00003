//! The planner's network in the fabric's own types.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hoist_model::{NetworkId, NetworkSpec, Protocol};
use hoist_netfabric as net;
use hoist_planner::host::{FabricWanted, PublishKey, StepError};
use ipnetwork::IpNetwork;

use crate::instances::steps::context::InstanceContext;
use crate::outcome::refused;

/// Ethernet's; the host's own path may be smaller, which path MTU discovery finds.
const MTU: u32 = 1500;

/// A bridge's name: `br-` and a digest of the network's id, since ids may be longer than names of links.
pub(super) fn bridge(id: &NetworkId) -> net::LinkName {
    numbered_bridge(id, 'r')
}

/// Names of further bridges: `b2-` to `b9-`. With the first, they have 9,207 ports.
fn further_bridges(id: &NetworkId) -> Vec<net::LinkName> {
    ('2'..='9').map(|number| numbered_bridge(id, number)).collect()
}

fn numbered_bridge(id: &NetworkId, number: char) -> net::LinkName {
    let hash = id.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    net::LinkName::new(format!("b{number}-{:012x}", hash & 0xffff_ffff_ffff))
        .expect("15 printable bytes name a link")
}

pub(super) fn network_id(id: &NetworkId) -> net::NetworkId {
    net::NetworkId::new(id.as_str())
}

/// One network; the gateway is the first address of each subnet.
pub(super) fn network(id: &NetworkId, spec: &NetworkSpec) -> net::Network {
    let same_family =
        |subnet: &IpNetwork| spec.services.iter().find(|range| range.is_ipv4() == subnet.is_ipv4());
    let range = |subnet: &IpNetwork| net::Range {
        subnet: *subnet,
        gateway: subnet.iter().nth(1).unwrap_or_else(|| subnet.ip()),
        services: same_family(subnet).copied(),
    };
    net::Network {
        bridge: bridge(id),
        further: further_bridges(id),
        ranges: spec.subnets.iter().map(range).collect(),
        internal: spec.internal,
        mtu: MTU,
        icc: true,
        source_check: !spec.unchecked,
    }
}

/// The whole: networks that exist, service addresses with ready backends, ports that are reserved.
pub(super) fn spec(
    networks: &BTreeMap<NetworkId, NetworkSpec>,
    wanted: &FabricWanted,
    reserved: &BTreeMap<PublishKey, u16>,
) -> net::FabricSpec {
    let services = wanted.services.iter().filter(|(key, _)| networks.contains_key(&key.network));
    net::FabricSpec {
        networks: networks.iter().map(|(id, spec)| (network_id(id), network(id, spec))).collect(),
        service_addresses: services
            .map(|(key, service)| net::ServiceAddress {
                network: network_id(&key.network),
                addresses: service.addresses.clone(),
                backends: service.backends.iter().copied().collect(),
                held: service.held,
            })
            .collect(),
        ports: wanted
            .published
            .iter()
            .filter_map(|(key, publish)| {
                Some(net::PublishedPort {
                    host_ip: key.port.host_ip.filter(|ip| !ip.is_unspecified()),
                    host_port: *reserved.get(key)?,
                    protocol: protocol(key.port.protocol),
                    targets: publish.targets.clone(),
                })
            })
            .collect(),
    }
}

pub(super) fn protocol(protocol: Protocol) -> net::Protocol {
    match protocol {
        Protocol::Tcp => net::Protocol::Tcp,
        Protocol::Udp => net::Protocol::Udp,
    }
}

/// Who can reach a published port, as a sentence part.
pub(super) fn reach(host_ip: Option<IpAddr>) -> String {
    match host_ip {
        None => "every network of this host".to_owned(),
        Some(ip) if ip.is_unspecified() => "every network of this host".to_owned(),
        Some(ip) if ip.is_loopback() => "this host only".to_owned(),
        Some(ip) => format!("whoever reaches {ip}"),
    }
}

/// An instance's interfaces, in the order of their priority; the default route leads through the network with the
/// highest gateway priority, the first when equal.
pub(super) fn attachments(instance: &InstanceContext) -> Result<Vec<net::Attachment>, StepError> {
    let service = &instance.template.service;
    let mut list: Vec<(&hoist_model::Attachment, &NetworkId)> = service
        .networks
        .iter()
        .filter_map(|(name, attachment)| Some((attachment, instance.template.networks.get(name)?)))
        .collect();
    list.sort_by_key(|(attachment, id)| (std::cmp::Reverse(attachment.priority), (*id).clone()));
    let outward = |id: &NetworkId| instance.networks.get(id).is_some_and(|network| !network.internal);
    let candidates = list.iter().filter(|(_, id)| outward(id));
    let gateway = candidates
        .max_by_key(|(a, id)| (a.gateway_priority, std::cmp::Reverse((*id).clone())))
        .map(|(_, id)| (*id).clone());
    list.iter()
        .enumerate()
        .map(|(number, (attachment, id))| {
            let name = attachment.interface.clone().unwrap_or_else(|| format!("eth{number}"));
            Ok(net::Attachment {
                network: network_id(id),
                ifname: net::LinkName::new(name)
                    .map_err(|error| refused(error.to_string(), "correct `interface_name`"))?,
                mac: attachment.mac.as_deref().map(mac).transpose()?,
                addresses: instance.spec.addresses.get(*id).cloned().unwrap_or_default(),
                default_route: gateway.as_ref() == Some(*id),
                sources: attachment.sources.clone(),
            })
        })
        .collect()
}

fn mac(text: &str) -> Result<[u8; 6], StepError> {
    let bytes: Vec<u8> =
        text.split([':', '-']).filter_map(|part| u8::from_str_radix(part, 16).ok()).collect();
    bytes
        .try_into()
        .map_err(|_| refused(format!("{text:?} is not a MAC address"), "write it as 02:42:ac:11:00:02"))
}
