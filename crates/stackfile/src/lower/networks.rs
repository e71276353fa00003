//! How services reach each other and are reached; the stack's networks and volumes.

use super::Lowering;
use super::attributes::{Attributes, int};
use crate::diagnostic::Diagnostic;
use crate::node::{Node, Value};
use hoist_model::{
    Attachment, EndpointMode, Network, NetworkId, NetworkMode, NetworkName, Port, Protocol, Service,
    ServiceName, StackId, Volume, VolumeId, VolumeName,
};
use ipnetwork::IpNetwork;
use std::collections::BTreeMap;
use std::str::FromStr;

pub(super) fn ports(at: &mut Attributes<'_, '_>) -> Vec<Port> {
    let mut out = Vec::new();
    for node in at.list("ports") {
        let text = |key: &str| node.get(key).and_then(Node::as_text);
        let protocol = match text("protocol") {
            None | Some("tcp") => Protocol::Tcp,
            Some("udp") => Protocol::Udp,
            Some(other) => {
                let message = format!("ports of the protocol `{other}` can't be published yet");
                at.error("not-supported-yet", node.place(), message);
                continue;
            }
        };
        let Some(target) = node.get("target").and_then(int).and_then(|port| u16::try_from(port).ok()) else {
            at.error("invalid-port", node.place(), "the port has no `target` between 1 and 65535");
            continue;
        };
        let host_ip = text("host_ip").and_then(|ip| ip.parse().ok());
        let Ok(published) = published(at, node, text("published")) else { continue };
        out.push(Port { host_ip, published, target, protocol });
    }
    out
}

fn published(at: &mut Attributes<'_, '_>, node: &Node, text: Option<&str>) -> Result<Option<u16>, ()> {
    let Some(text) = text else { return Ok(None) };
    let first = match text.split_once('-') {
        Some((first, _)) => {
            let message = format!("of the range `{text}` only the first port is used yet");
            at.warning("no-effect-yet", node.place(), message);
            first
        }
        None => text,
    };
    match first.parse::<u16>() {
        Ok(0) => Ok(None),
        Ok(port) => Ok(Some(port)),
        Err(_) => {
            at.error("invalid-port", node.place(), format!("`{text}` is not a host port"));
            Err(())
        }
    }
}

pub(super) fn mode(at: &mut Attributes<'_, '_>) -> NetworkMode {
    let Some(node) = at.get("network_mode") else { return NetworkMode::Own };
    match node.as_text().unwrap_or_default() {
        "none" => NetworkMode::None,
        "host" => NetworkMode::Host,
        "bridge" | "default" => NetworkMode::Own,
        text => match text.strip_prefix("service:").map(ServiceName::new) {
            Some(Ok(name)) => NetworkMode::Service(name),
            _ => {
                let message =
                    format!("`network_mode: {text}` is not there: none, host, bridge or service:NAME");
                at.error("not-supported", node.span, message);
                NetworkMode::Own
            }
        },
    }
}

/// The key of the network that stands for Docker's own bridge.
const DEFAULT: &str = "default";

pub(super) fn attachments(at: &mut Attributes<'_, '_>) -> BTreeMap<NetworkName, Attachment> {
    let mut out = BTreeMap::new();
    if let Some(node) = at.get("network_mode")
        && matches!(node.as_text(), Some("bridge" | "default"))
    {
        let message = "`network_mode: bridge` means the stack's `default` network here";
        at.warning("different-here", node.span, message);
        out.extend(NetworkName::new(DEFAULT).map(|name| (name, Attachment::default())));
    }
    for (name, node) in at.map("networks") {
        let Ok(name) = NetworkName::new(name.as_str()) else {
            at.error("invalid-name", node.place(), format!("`{name}` is not a valid name of a network"));
            continue;
        };
        out.insert(name, attachment(at, node));
    }
    out
}

fn attachment(at: &mut Attributes<'_, '_>, node: &Node) -> Attachment {
    let text = |key: &str| node.get(key).and_then(Node::as_text).map(str::to_owned);
    let priority = |key: &str| {
        let value = node.get(key).and_then(int).unwrap_or(0);
        i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
    };
    let aliases = node.get("aliases").and_then(Node::as_list).unwrap_or_default();
    Attachment {
        aliases: aliases.iter().filter_map(Node::as_text).map(str::to_owned).collect(),
        ipv4: address(at, node, "ipv4_address"),
        ipv6: address(at, node, "ipv6_address"),
        mac: text("mac_address").or_else(|| at.text("mac_address")),
        interface: text("interface_name"),
        priority: priority("priority"),
        gateway_priority: priority("gw_priority"),
        sources: sources(at, node),
    }
}

fn sources(at: &mut Attributes<'_, '_>, node: &Node) -> Vec<IpNetwork> {
    let mut sources = Vec::new();
    for range in node.at_path(&["x-hoist", "sources"]).and_then(Node::as_list).into_iter().flatten() {
        let text = range.as_text().unwrap_or_default();
        match text.parse() {
            Ok(source) => sources.push(source),
            Err(_) => {
                let message =
                    format!("`x-hoist.sources`: `{text}` is not an address range such as 10.8.0.0/24");
                at.error("invalid-address", range.span, message);
            }
        }
    }
    sources
}

fn address<T: FromStr>(at: &mut Attributes<'_, '_>, node: &Node, key: &str) -> Option<T> {
    let address = node.get(key)?;
    let text = address.as_text()?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        at.error("invalid-address", address.span, format!("`{key}: {text}` is not such an address"));
    }
    parsed
}

pub(super) fn check_static_addresses(at: &mut Attributes<'_, '_>, service: &Service) {
    if service.replicas < 2 {
        return;
    }
    for (name, attachment) in &service.networks {
        if attachment.ipv4.is_some() || attachment.ipv6.is_some() || attachment.mac.is_some() {
            let node = at.get("networks").and_then(|networks| networks.get(name.as_str()));
            let place = node.map_or(at.node.place(), Node::place);
            at.error("static-address", place, "several replicas can't share one fixed address");
        }
    }
}

pub(super) fn endpoint_mode(at: &mut Attributes<'_, '_>) -> EndpointMode {
    match at.get("deploy.endpoint_mode") {
        None => EndpointMode::Vip,
        Some(node) => match node.as_text() {
            Some("vip") => EndpointMode::Vip,
            Some("dnsrr") => EndpointMode::Dnsrr,
            _ => {
                at.error("invalid-value", node.span, "`endpoint_mode` is `vip` or `dnsrr`");
                EndpointMode::Vip
            }
        },
    }
}

pub(super) fn extra_hosts(at: &Attributes<'_, '_>) -> Vec<(String, String)> {
    let pairs = at.list("extra_hosts").iter().filter_map(|node| node.as_text()?.split_once('='));
    pairs.map(|(host, address)| (host.to_owned(), address.to_owned())).collect()
}

fn flag(node: &Node, key: &str) -> bool {
    node.get(key).is_some_and(|node| node.value == Value::Bool(true))
}

fn pairs(node: &Node, key: &str) -> BTreeMap<String, String> {
    let map = node.get(key).and_then(Node::as_map).into_iter().flatten();
    map.filter_map(|(key, node)| Some((key.clone(), node.as_text()?.to_owned()))).collect()
}

impl Lowering<'_> {
    pub(super) fn network(
        &mut self,
        key: &str,
        node: &Node,
        stack: &StackId,
    ) -> Option<(NetworkName, Network)> {
        let name = self.named(NetworkName::new(key), node)?;
        let id = self.resource_name(key, node, stack);
        let id = self.named(NetworkId::new(id), node.get("name").unwrap_or(node))?;
        let mut subnets = Vec::new();
        for pool in node.at_path(&["ipam", "config"]).and_then(Node::as_list).into_iter().flatten() {
            let Some(subnet) = pool.get("subnet") else { continue };
            match subnet.as_text().unwrap_or_default().parse() {
                Ok(subnet) => subnets.push(subnet),
                Err(_) => {
                    let message =
                        format!("`networks.{key}`: `{}` is not a subnet", subnet.as_text().unwrap_or(""));
                    self.report.error("invalid-address", subnet.span, message);
                }
            }
        }
        let network = Network {
            id,
            external: flag(node, "external"),
            internal: flag(node, "internal"),
            ipv6: flag(node, "enable_ipv6"),
            subnets,
            labels: pairs(node, "labels"),
            unchecked: node
                .at_path(&["x-hoist", "source_check"])
                .is_some_and(|node| node.value == Value::Bool(false)),
        };
        Some((name, network))
    }

    pub(super) fn volume(&mut self, key: &str, node: &Node, stack: &StackId) -> Option<(VolumeName, Volume)> {
        let name = self.named(VolumeName::new(key), node)?;
        let id = self.resource_name(key, node, stack);
        let id = self.named(VolumeId::new(id), node.get("name").unwrap_or(node))?;
        let volume = Volume {
            id,
            external: flag(node, "external"),
            options: pairs(node, "driver_opts"),
            labels: pairs(node, "labels"),
        };
        Some((name, volume))
    }

    /// The name on the host. That of a copy has the copy in it, unless the file gives a name.
    fn resource_name(&self, key: &str, node: &Node, stack: &StackId) -> String {
        let name = node.get("name").and_then(Node::as_text).unwrap_or(key);
        let implied = format!("{}_{key}", self.project.name);
        if name == implied { format!("{}_{key}", stack.stem()) } else { name.to_owned() }
    }

    /// Adds the network that `network_mode: bridge` stands for.
    pub(super) fn legacy_bridge(
        &mut self,
        services: &BTreeMap<ServiceName, Service>,
        networks: &mut BTreeMap<NetworkName, Network>,
        stack: &StackId,
    ) {
        let Ok(name) = NetworkName::new(DEFAULT) else { return };
        if networks.contains_key(&name) || !services.values().any(|s| s.networks.contains_key(&name)) {
            return;
        }
        match NetworkId::new(format!("{}_{DEFAULT}", stack.stem())) {
            Ok(id) => {
                let network = Network {
                    id,
                    external: false,
                    internal: false,
                    ipv6: false,
                    subnets: Vec::new(),
                    labels: BTreeMap::new(),
                    unchecked: false,
                };
                networks.insert(name, network);
            }
            Err(error) => self.report.push(Diagnostic::error("invalid-name", error.to_string())),
        }
    }
}
