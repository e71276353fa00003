//! Claims: what an instance, or a service, needs alone on its host.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use hoist_model::{InstanceSpec, NetworkId, NetworkMode, Port, Protocol, Service, Slot, VolumeId};
use serde::{Deserialize, Serialize};

/// Something that only one may have at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// The place itself: old and new of one slot run side by side only where [`crate::rollout::stop_first`] has nothing
    /// against it.
    Slot(Slot),
    /// A place to write to, against another instance of the same slot. Other services and replicas may share it.
    Mount(Source),
    /// A name that a person gave (`container_name`).
    Name(String),
    /// An address in a network.
    Address(NetworkId, IpAddr),
    /// A port of the host.
    Port {
        /// The address published on; none is every address.
        host_ip: Option<IpAddr>,
        /// The port.
        port: u16,
        /// Transport.
        protocol: Protocol,
    },
}

/// Where a mount comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A named volume.
    Volume(VolumeId),
    /// A path of the host.
    Bind(PathBuf),
    /// The slot's anonymous volume that is mounted there.
    Anonymous(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Volume(id) => write!(f, "volume {id}"),
            Source::Bind(path) => write!(f, "{}", path.display()),
            Source::Anonymous(path) => write!(f, "the anonymous volume at {}", path.display()),
        }
    }
}

impl Claim {
    /// Whether both can't be had at once.
    #[must_use]
    pub fn conflicts(&self, other: &Claim) -> bool {
        match (self, other) {
            (
                Claim::Port { host_ip: a, port, protocol },
                Claim::Port { host_ip: b, port: other_port, protocol: other_protocol },
            ) => port == other_port && protocol == other_protocol && overlap(*a, *b),
            (a, b) => a == b,
        }
    }
}

/// Whether two addresses to publish on have one in common. An unspecified address stands for its whole family.
fn overlap(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a == b || a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified())
        }
        _ => true,
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Claim::Slot(slot) => write!(f, "the place {}", slot.short()),
            Claim::Mount(source) => write!(f, "{source} to write to"),
            Claim::Name(name) => write!(f, "the name {name:?}"),
            Claim::Address(network, address) => write!(f, "address {address} in network {network}"),
            Claim::Port { host_ip: None, port, protocol } => write!(f, "host port {port}/{protocol}"),
            Claim::Port { host_ip: Some(ip), port, protocol } => {
                write!(f, "host port {ip}:{port}/{protocol}")
            }
        }
    }
}

/// What a running instance holds until its process has ended.
#[must_use]
pub fn of_instance(spec: &InstanceSpec) -> Vec<Claim> {
    held(&spec.slot, &spec.addresses)
}

/// The same for an instance of which only this is known.
#[must_use]
pub fn held(slot: &Slot, addresses: &BTreeMap<NetworkId, Vec<IpAddr>>) -> Vec<Claim> {
    let addresses = addresses.iter().flat_map(|(network, addresses)| {
        addresses.iter().map(|address| Claim::Address(network.clone(), *address))
    });
    std::iter::once(Claim::Slot(slot.clone())).chain(addresses).collect()
}

/// What a service holds on its host as long as it is wanted there: declared ports and its own name. A declared port
/// belongs to the service, all of whose instances that get traffic answer on it.
#[must_use]
pub fn of_service(service: &Service) -> Vec<Claim> {
    let ports = service.ports.iter().filter(|_| publishes(service)).filter_map(port_claim);
    ports.chain(service.container_name.iter().cloned().map(Claim::Name)).collect()
}

/// Whether `ports` has a meaning: it has none without an own, attached network namespace.
#[must_use]
pub fn publishes(service: &Service) -> bool {
    service.network_mode == NetworkMode::Own
}

fn port_claim(port: &Port) -> Option<Claim> {
    Some(Claim::Port { host_ip: port.host_ip, port: port.published?, protocol: port.protocol })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host_ip: Option<&str>, port: u16) -> Claim {
        Claim::Port { host_ip: host_ip.map(|ip| ip.parse().unwrap()), port, protocol: Protocol::Tcp }
    }

    #[test]
    fn ports_conflict_where_their_addresses_meet() {
        assert!(port(None, 80).conflicts(&port(Some("127.0.0.1"), 80)));
        assert!(port(Some("0.0.0.0"), 80).conflicts(&port(Some("127.0.0.1"), 80)));
        assert!(!port(Some("127.0.0.1"), 80).conflicts(&port(Some("127.0.0.2"), 80)));
        assert!(!port(Some("::"), 80).conflicts(&port(Some("127.0.0.1"), 80)));
        assert!(!port(None, 80).conflicts(&port(None, 81)));
    }
}
