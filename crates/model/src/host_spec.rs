//! What one host should run: whole, versioned, sent again until applied.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::{
    Generation, InstanceKind, InstanceUid, NetworkId, NetworkName, ResolvedImage, RestartPolicy, Revision,
    Service, ServiceName, Slot, StackId, TemplateHash, VolumeId, VolumeName,
};

/// Everything that one host should run. An agent refuses an older generation, and the same one with other content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostSpec {
    /// The version.
    pub generation: Generation,
    /// Definitions that instances share.
    pub templates: BTreeMap<TemplateHash, Arc<Template>>,
    /// What should exist. An instance that is absent here is stopped and removed.
    pub instances: BTreeMap<InstanceUid, InstanceSpec>,
    /// Networks that should exist.
    pub networks: BTreeMap<NetworkId, NetworkSpec>,
    /// Volumes that should exist. A volume that is absent here is left alone (see `removed_volumes`).
    pub volumes: BTreeMap<VolumeId, VolumeSpec>,
    /// Volumes that a person asked to remove, with their data.
    pub removed_volumes: Vec<VolumeId>,
    /// Stacks whose instances a person gave another time to end than their own grace period (`-t`).
    pub stop_grace: BTreeMap<StackId, Duration>,
}

/// A service's definition with its image settled: all that instances of it have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Template {
    /// The lowered service.
    pub service: Service,
    /// Its image.
    pub image: ResolvedImage,
    /// The stack's network keys resolved to the host's networks.
    pub networks: BTreeMap<NetworkName, NetworkId>,
    /// The stack's volume keys resolved to the host's volumes.
    pub volumes: BTreeMap<VolumeName, VolumeId>,
    /// Labels that Hoist adds (`com.docker.compose.*`), beside the service's own.
    pub labels: BTreeMap<String, String>,
}

/// One instance that should exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// The slot it fills.
    pub slot: Slot,
    /// Why it exists.
    pub kind: InstanceKind,
    /// The revision it belongs to.
    pub revision: Revision,
    /// Its definition.
    pub template: TemplateHash,
    /// Run or stay stopped.
    pub run: WantedRun,
    /// Restart policy; not part of the template, since a change recreates nothing.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Raised by a person's `restart`.
    #[serde(default)]
    pub restart_nonce: u64,
    /// Raised by a person's `up` or `start`: an ended instance starts once per raise.
    #[serde(default)]
    pub start_nonce: u64,
    /// It has anonymous volumes of its own, whatever the instance before it had.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renew_volumes: bool,
    /// What must hold on this host before it starts; at boot, after a crash and at redeploy alike.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// Addresses chosen for it, by network.
    #[serde(default)]
    pub addresses: BTreeMap<NetworkId, Vec<IpAddr>>,
}

/// Whether an instance should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WantedRun {
    /// Run, as the restart policy says.
    Running,
    /// Stopped by a person during that daemon epoch; `always` runs again in a later one.
    Stopped {
        /// The epoch of the stop.
        epoch: u64,
    },
}

/// A condition on another service of this stack on this host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gate {
    /// The service waited for: all its instances on this host.
    pub service: ServiceName,
    /// What must be true of it.
    pub condition: Condition,
    /// When the service isn't there or fails: `true` stops, `false` goes on.
    pub required: bool,
}

/// `depends_on.condition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It has been started.
    #[default]
    ServiceStarted,
    /// Its health check passes.
    ServiceHealthy,
    /// It has ended with status 0.
    ServiceCompletedSuccessfully,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Condition::ServiceStarted => "started",
            Condition::ServiceHealthy => "healthy",
            Condition::ServiceCompletedSuccessfully => "completed successfully",
        })
    }
}

/// A network on the host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    /// Stacks that refer to it; it goes when none does.
    pub users: Vec<StackId>,
    /// Subnets on this host, IPv4 first; the gateway is the first address of each.
    pub subnets: Vec<IpNetwork>,
    /// Where this network's service addresses are taken from: a slice of the host's service range for each family.
    pub services: Vec<IpNetwork>,
    /// No way to the outside.
    pub internal: bool,
    /// Instances may send whatever they like.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
}

/// A volume on the host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeSpec {
    /// The stack that declares it; none when it is only referred to as external.
    pub owner: Option<StackId>,
    /// `driver_opts`.
    pub options: BTreeMap<String, String>,
}
