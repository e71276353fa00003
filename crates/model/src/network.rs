//! How a service is reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

/// Transport of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// One published or exposed port; ranges are already spread.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// Host address to publish on; all when none.
    pub host_ip: Option<IpAddr>,
    /// Host port; chosen by the host when none.
    pub published: Option<u16>,
    /// The port inside the instance.
    pub target: u16,
    /// Transport.
    pub protocol: Protocol,
}

/// A service's place in one network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// More names that resolve to the service in this network.
    pub aliases: Vec<String>,
    /// Fixed address of its one instance.
    pub ipv4: Option<Ipv4Addr>,
    /// Fixed address of its one instance.
    pub ipv6: Option<Ipv6Addr>,
    /// Fixed MAC address, as text.
    pub mac: Option<String>,
    /// Name of the interface inside; `eth<n>` when none.
    pub interface: Option<String>,
    /// Higher goes first in the order of interfaces.
    pub priority: i32,
    /// The highest has the default route.
    pub gateway_priority: i32,
    /// `x-hoist.sources`: ranges that its instances route, and so send from beside their own addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<IpNetwork>,
}

/// Which network namespace an instance lives in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// Its own, attached to the service's networks.
    #[default]
    Own,
    /// Its own, with loopback only.
    None,
    /// The host's.
    Host,
    /// That of the named service's instance.
    Service(crate::ServiceName),
}

/// How a service's name resolves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointMode {
    /// To one service address, spread over ready instances.
    #[default]
    Vip,
    /// To the addresses of its ready instances, rotated.
    Dnsrr,
}
