//! A whole stack, lowered from its files: what a revision holds.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::{NetworkId, NetworkName, Service, ServiceName, StackId, VolumeId, VolumeName};

/// A stack without spans: equal stacks mean the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stack {
    /// Name and copy.
    pub id: StackId,
    /// Services by name; those of inactive profiles are left out.
    #[serde(default)]
    pub services: BTreeMap<ServiceName, Service>,
    /// Networks that services use.
    #[serde(default)]
    pub networks: BTreeMap<NetworkName, Network>,
    /// Volumes that services use.
    #[serde(default)]
    pub volumes: BTreeMap<VolumeName, Volume>,
}

/// A network declaration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Network {
    /// The name on the host.
    pub id: NetworkId,
    /// Must exist already; never made or removed by this stack.
    #[serde(default)]
    pub external: bool,
    /// No way to the outside.
    #[serde(default)]
    pub internal: bool,
    /// IPv6 inside as well.
    #[serde(default)]
    pub ipv6: bool,
    /// Declared subnets; chosen from the pool when empty.
    #[serde(default)]
    pub subnets: Vec<IpNetwork>,
    /// `driver_opts`, labels of the network.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `x-hoist.source_check: false`: instances may send whatever they like.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
}

/// A volume declaration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Volume {
    /// The name on the host.
    pub id: VolumeId,
    /// Must exist already; never made or removed by this stack.
    #[serde(default)]
    pub external: bool,
    /// `driver_opts` of the local driver (`type`, `o`, `device`).
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// `labels`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}
