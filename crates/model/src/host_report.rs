//! What one host has seen: whole, pushed on change, never stored by the orchestrator.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::{
    BootId, Exit, Generation, Guards, HostId, InstanceKind, InstanceUid, Listener, Moment, NetworkId,
    Parting, Port, ProbeRecord, Revision, Slot, TemplateHash, VolumeId, WallTime,
};

/// Everything an agent knows about its host. Replaces the host's previous report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// The host.
    pub host: HostId,
    /// Its boot.
    pub boot: BootId,
    /// Raised at each start of the daemon that a person or a boot caused; a crash of the agent doesn't.
    pub epoch: u64,
    /// The spec it has accepted and looks at.
    pub generation: Generation,
    /// Nothing is left to do for that spec, and nothing is waited for.
    pub settled: bool,
    /// Every instance that exists, wanted or not.
    pub instances: BTreeMap<InstanceUid, InstanceReport>,
    /// Networks that exist.
    pub networks: BTreeMap<NetworkId, NetworkReport>,
    /// Volumes that exist.
    pub volumes: Vec<VolumeId>,
    /// Networks that the host's own routes and links use, which the pool must not touch.
    pub routes: Vec<IpNetwork>,
    /// What could not be done, and why.
    pub failures: Vec<Failure>,
    /// When this was seen.
    pub seen_at: Moment,
    /// Its memory, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// How it guards what is started now.
    #[serde(default)]
    pub guards: Guards,
}

/// One instance as seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// The slot it fills.
    pub slot: Slot,
    /// Why it exists.
    pub kind: InstanceKind,
    /// Its revision.
    pub revision: Revision,
    /// Its definition.
    pub template: TemplateHash,
    /// Where it stands.
    pub phase: Phase,
    /// What its probe says.
    pub health: Health,
    /// The probe that made it unhealthy, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeRecord>,
    /// Starts so far, the first included.
    pub starts: u32,
    /// The last start.
    pub started: Option<WallTime>,
    /// Since when it runs, when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Moment>,
    /// The last end.
    pub finished: Option<WallTime>,
    /// How it last ended.
    pub exit: Option<Exit>,
    /// The kernel killed it, or one of its processes, for want of memory since the last start.
    pub oom_killed: bool,
    /// When it was made.
    pub created: WallTime,
    /// Its first process on the host.
    pub pid: Option<i32>,
    /// Its addresses by network.
    pub addresses: BTreeMap<NetworkId, Vec<IpAddr>>,
    /// Ports published for it now.
    pub ports: Vec<PublishedReport>,
    /// The nonces that it has acted on.
    pub restart_nonce: u64,
    /// See [`crate::InstanceSpec::start_nonce`].
    pub start_nonce: u64,
    /// What it lacks to be fit for traffic, as a sentence part; none when it is fit, or doesn't run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unready: Option<String>,
    /// What it does when it is about to go while its service stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parting: Option<Parting>,
    /// The ports it listens on for others, as last seen.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub listening: BTreeSet<Listener>,
    /// It runs, and its `post_start` hooks have not all passed yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hooks_pending: bool,
    /// How its last run is guarded.
    #[serde(default)]
    pub guards: Guards,
}

/// Where an instance stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Made, never started; says what it waits for.
    Waiting(Waiting),
    /// Being prepared and launched.
    Starting,
    /// Its process runs.
    Running,
    /// Told to stop.
    Stopping,
    /// Ended; stays so.
    Exited,
    /// Ended; will be started again at that moment.
    Restarting(Moment),
    /// Could not be started; the text says why and what to do.
    Failed(String),
}

impl Phase {
    /// The state as Docker names it in `ps`.
    #[must_use]
    pub fn docker_state(&self) -> &'static str {
        match self {
            Phase::Waiting(_) | Phase::Starting | Phase::Failed(_) => "created",
            Phase::Running | Phase::Stopping => "running",
            Phase::Exited => "exited",
            Phase::Restarting(_) => "restarting",
        }
    }
}

/// Why something doesn't happen yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waiting {
    /// For its turn.
    Turn,
    /// For another service.
    Gate(crate::Gate),
    /// For another instance to let go of a claim: text names both.
    Claim(String),
    /// For an image.
    Image(String),
    /// For a resource of the host (a network, a volume, a port), named.
    Resource(String),
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Waiting::Turn => f.write_str("waiting for its turn"),
            Waiting::Gate(gate) => write!(f, "waiting for {} to be {}", gate.service, gate.condition),
            Waiting::Claim(what) | Waiting::Resource(what) => write!(f, "waiting for {what}"),
            Waiting::Image(image) => write!(f, "waiting for image {image}"),
        }
    }
}

/// What an instance's health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It has none.
    #[default]
    None,
    /// Not known yet.
    Starting,
    /// The last probe passed.
    Healthy,
    /// Too many probes in a row failed.
    Unhealthy,
}

/// A network as seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkReport {
    /// Its subnets.
    pub subnets: Vec<IpNetwork>,
}

/// A published port as seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedReport {
    /// As declared, `published` filled in.
    pub port: Port,
    /// Who can reach it, as a sentence part: `127.0.0.1 only`, `every network of this host`.
    pub reach: String,
}

/// Something that could not be done. The agent tries again as the planner says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it concerns.
    pub subject: crate::Subject,
    /// What happened, where.
    pub what: String,
    /// What to do next, when known.
    pub hint: Option<String>,
    /// Trying again can't help until a person changes something.
    pub permanent: bool,
}
