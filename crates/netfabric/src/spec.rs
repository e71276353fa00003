//! What a host's network should be: the values handed in. No effects.
//!
//! Everything here is plain data of this crate's own. Identifiers are opaque strings; their meaning
//! belongs to the caller.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

mod check;
mod names;

pub use check::SpecError;
pub use names::{HostEnd, LinkName, Tag};

/// Where one fabric lives, and the addresses it needs for itself.
///
/// One fabric belongs to one state root; several live side by side when their `tag`s, paths and
/// ranges differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FabricConfig {
    /// File on which the fabric's network namespace is bind-mounted, so that it outlives every process.
    pub netns_path: PathBuf,
    /// Short unique name; it is part of the host-side link's and the nftables tables' names.
    pub tag: Tag,
    /// Range of the veth pair between host and fabric: `/30` or wider, the first address is the
    /// host's, the second the fabric's.
    pub uplink4: Ipv4Network,
    /// The same for IPv6 (a unique local `/126` or wider); `None` leaves IPv6 inside the fabric.
    pub uplink6: Option<Ipv6Network>,
    /// Range of all service addresses of this fabric. An address in it without a ready backend is
    /// rejected at once. Must not overlap any network.
    pub services4: Ipv4Network,
    /// The same for IPv6.
    pub services6: Option<Ipv6Network>,
    /// MTU of the pair that joins host and fabric.
    pub mtu: u32,
}

/// Identifies a network; opaque to the fabric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(String);

impl NetworkId {
    /// Wraps an identifier.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The whole network of one host, as wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FabricSpec {
    /// A bridge each.
    pub networks: BTreeMap<NetworkId, Network>,
    /// Addresses that stand for a changing set of backends.
    pub service_addresses: Vec<ServiceAddress>,
    /// Ports of the host that lead into the fabric.
    pub ports: Vec<PublishedPort>,
}

/// One isolated network: a bridge in the fabric namespace, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Name of the bridge; unique in the fabric.
    pub bridge: LinkName,
    /// Names of further bridges, for instances that find no place at those before: the kernel gives a bridge at most
    /// 1,023 ports. Each is made when it is needed. Unicast between them is routed like all of it; broadcast and
    /// multicast stay on one bridge.
    pub further: Vec<LinkName>,
    /// At most one range per address family; a network may be IPv4, IPv6, both or neither.
    pub ranges: Vec<Range>,
    /// No way out of the host, and no published ports, for what is only in this network.
    pub internal: bool,
    /// MTU of the bridge and of every link attached to it.
    pub mtu: u32,
    /// Whether instances reach each other; `false` leaves them only the gateway and the way out.
    pub icc: bool,
    /// Whether an instance is held to its own hardware address, its own addresses and what it was declared to
    /// route ([`Attachment::sources`]), and may neither advertise routes nor redirect its neighbours.
    pub source_check: bool,
}

/// Addresses of one family in one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Where instances get their addresses.
    pub subnet: IpNetwork,
    /// The fabric's own address in `subnet`.
    pub gateway: IpAddr,
    /// The part of the fabric's service range that this network's service addresses are taken from.
    /// An attachment routes it through the gateway, so that an instance in several networks asks the
    /// right one. `None` when the network has no service addresses.
    pub services: Option<IpNetwork>,
}

/// An address that stands for the ready backends behind it.
///
/// New connections are spread over `backends`; established ones stay where they are. Without a
/// backend they are refused at once, or wait for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAddress {
    /// The network from which it can be reached, and in which the backends are.
    pub network: NetworkId,
    /// At most one address per family, inside the network's [`Range::services`].
    pub addresses: Vec<IpAddr>,
    /// Ready backends of both families; each service address takes those of its own family.
    pub backends: Vec<IpAddr>,
    /// Without a backend, new TCP connections wait until there is one again, or until this is taken back; datagrams are
    /// refused all the same. The kernel keeps them, so they wait also when every process of ours has died.
    pub held: bool,
}

/// Transport protocols that can be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, RFC 9293.
    Tcp,
    /// UDP, RFC 768.
    Udp,
}

impl Protocol {
    /// The protocol number of the IP header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port of the host that leads to an address in the fabric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    /// The host address it is reachable at; `None` is every address of the host.
    pub host_ip: Option<IpAddr>,
    /// The port on the host.
    pub host_port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
    /// Where it leads: a service address or an instance, at most one per family. A family without a
    /// target is not translated (see [`crate::Splicer`] for IPv6 clients of an IPv4 target).
    pub targets: Vec<SocketAddr>,
}

/// One network interface of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The network to join.
    pub network: NetworkId,
    /// Name of the interface inside the instance, `eth0` for the first by convention.
    pub ifname: LinkName,
    /// Hardware address; by default one that follows from the first address, so that an address used
    /// again never meets a stale neighbour entry.
    pub mac: Option<[u8; 6]>,
    /// Addresses inside the network's ranges, at most one per family.
    pub addresses: Vec<IpAddr>,
    /// Whether the way out leads through this network.
    pub default_route: bool,
    /// Ranges that the instance routes, and so sends from beside its own addresses.
    pub sources: Vec<IpNetwork>,
}
