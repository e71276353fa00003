//! What the host's network should be right now: networks, service addresses with their ready backends, host ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use hoist_model::{InstanceUid, NetworkId, Port, ServiceKey, ServiceName, StackId};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

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
