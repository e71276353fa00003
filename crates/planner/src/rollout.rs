//! Whether the next instance of a slot may run beside the one before it, and if not, why.
//!
//! Owns the rule and its reasons, as values that `hoist plan` prints. When each of the two gets traffic and when the old
//! one ends is `host::parting`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hoist_model::{
    Listener, MountKind, NetworkId, NetworkMode, Port, Rollout, ServiceName, Template, UpdateOrder,
};
use serde::{Deserialize, Serialize};

use crate::claims::{Claim, Source, publishes};
use crate::template;

/// Ports from here on are handed out by the kernel: a program that listens on one has it by chance.
const BY_CHANCE: u16 = 32768;

/// What must be known of an instance to give its place to another. Journalled with it: its spec may be gone by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Handover {
    /// `deploy.update_config.order`.
    pub order: UpdateOrder,
    /// Old and new may write to the same places.
    pub shared_writes: bool,
    /// Where it may write beside its own file system.
    pub writes: BTreeSet<Source>,
    /// Devices of the host that one program uses at a time.
    pub devices: BTreeSet<String>,
    /// Its fixed MAC addresses, by network.
    pub macs: BTreeSet<(NetworkId, String)>,
    /// Which network namespace it lives in.
    pub network: NetworkMode,
    /// Its published ports.
    pub ports: Vec<Port>,
    /// `expose`.
    pub expose: BTreeSet<Listener>,
    /// What has nothing to listen on is ready after this time.
    pub ready: Duration,
    /// How long it may go on with the connections that it has.
    pub drain: Duration,
    /// Tells its program that nothing new will come.
    pub drain_signal: Option<String>,
    /// What it is given of memory, bytes: reserved for it, else its limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl Default for Handover {
    /// What is assumed of an instance made by a version that didn't note it: nobody may run beside it.
    fn default() -> Self {
        let Rollout { drain, drain_signal, ready, shared_writes, hold: _ } = Rollout::default();
        Self {
            order: UpdateOrder::StopFirst,
            shared_writes,
            writes: BTreeSet::new(),
            devices: BTreeSet::new(),
            macs: BTreeSet::new(),
            network: NetworkMode::Own,
            ports: Vec::new(),
            expose: BTreeSet::new(),
            ready,
            drain,
            drain_signal,
            memory: None,
        }
    }
}

impl Handover {
    /// As the instances of a template have it.
    #[must_use]
    pub fn of(template: &Template) -> Self {
        let service = &template.service;
        let Rollout { drain, drain_signal, ready, shared_writes, hold: _ } = service.rollout.clone();
        Self {
            order: service.update_order,
            shared_writes,
            writes: writes(template),
            devices: devices(template),
            macs: macs(template),
            network: service.network_mode.clone(),
            ports: if publishes(service) { service.ports.clone() } else { Vec::new() },
            expose: service.expose.iter().copied().collect(),
            ready,
            drain,
            drain_signal,
            memory: service.resources.memory_reservation.or(service.resources.memory),
        }
    }

    /// The ports inside that are published.
    #[must_use]
    pub fn targets(&self) -> BTreeSet<Listener> {
        self.ports.iter().map(|port| Listener { port: port.target, protocol: port.protocol }).collect()
    }

    /// Somebody may connect to it: by a declared port, or by one that it was seen to listen on.
    #[must_use]
    pub fn is_reached(&self, listening: &BTreeSet<Listener>) -> bool {
        !self.ports.is_empty() || !self.expose.is_empty() || lasting(listening).next().is_some()
    }
}

/// The ports on which the next instance will listen too.
pub(crate) fn lasting(listening: &BTreeSet<Listener>) -> impl Iterator<Item = Listener> + '_ {
    listening.iter().copied().filter(|listener| listener.port < BY_CHANCE)
}

fn writes(template: &Template) -> BTreeSet<Source> {
    let mounts = template.service.mounts.iter().filter(|mount| !mount.read_only);
    let sources = mounts.filter_map(|mount| match &mount.kind {
        MountKind::Volume { id, .. } => Some(Source::Volume(id.clone())),
        MountKind::Bind { source, .. } if !is_shareable(&source.to_string_lossy()) => {
            Some(Source::Bind(source.clone()))
        }
        MountKind::Bind { .. } | MountKind::Anonymous | MountKind::Tmpfs(_) | MountKind::Content { .. } => {
            None
        }
    });
    let anonymous = template::anonymous_volumes(template).into_keys();
    let anonymous = anonymous.filter(|target| template::is_writable(template, target)).map(Source::Anonymous);
    sources.chain(anonymous).collect()
}

/// Sockets, and what the kernel offers as files, are made for several users.
fn is_shareable(path: &str) -> bool {
    let kernel = ["/dev", "/proc", "/sys"];
    path.ends_with(".sock")
        || kernel
            .iter()
            .any(|root| path == *root || path.strip_prefix(root).is_some_and(|p| p.starts_with('/')))
}

/// Devices that several programs use at once.
const SHARED_DEVICES: [&str; 11] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/fuse",
    "/dev/kvm",
    "/dev/kfd",
    "/dev/net/tun",
    "/dev/dri",
    "/dev/nvidia",
];

fn devices(template: &Template) -> BTreeSet<String> {
    let paths = template.service.devices.iter().map(|(source, _, _)| source);
    paths.filter(|path| !SHARED_DEVICES.iter().any(|shared| path.starts_with(shared))).cloned().collect()
}

fn macs(template: &Template) -> BTreeSet<(NetworkId, String)> {
    let attached = template.service.networks.iter();
    let fixed = attached.filter_map(|(key, at)| Some((template.networks.get(key)?.clone(), at.mac.clone()?)));
    fixed.collect()
}

/// One of the two instances of a slot.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What it was, or will be, made with.
    pub handover: &'a Handover,
    /// Its addresses.
    pub addresses: &'a BTreeMap<NetworkId, Vec<IpAddr>>,
    /// Where it was seen to listen.
    pub listening: &'a BTreeSet<Listener>,
    /// A service that lives in its network namespace.
    pub shared_by: Option<&'a ServiceName>,
}

/// Why the old instance must have ended before the new one starts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// `order: stop-first`.
    Declared,
    /// Both use something that one has at a time.
    Claim(String),
    /// It has no network of its own.
    HostNetwork,
    /// It shares its network with a service.
    SharedNetwork(ServiceName),
    /// Both don't fit into the host's memory: what they are given together, and what there is, in bytes.
    Memory(u64, u64),
    /// Nobody connects to it, so that two at once would help nobody, and might do the same work twice.
    Unreached,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Declared => f.write_str("`order: stop-first` is declared"),
            Reason::Claim(what) => write!(f, "old and new would both have {what}"),
            Reason::HostNetwork => f.write_str("it uses the host's network"),
            Reason::SharedNetwork(service) => write!(f, "it shares its network with {service}"),
            Reason::Memory(both, all) => write!(
                f,
                "old and new are given {} MiB together, and the host has {} MiB",
                both >> 20,
                all >> 20
            ),
            Reason::Unreached => f.write_str("nobody connects to it"),
        }
    }
}

/// Why these two may not run side by side; nothing when they may.
#[must_use]
pub fn stop_first(old: Side<'_>, new: Side<'_>) -> Vec<Reason> {
    let declared = new.handover.order;
    if declared == UpdateOrder::StopFirst {
        return vec![Reason::Declared];
    }
    let mut reasons = impossible(old, new);
    if declared == UpdateOrder::Safe {
        if !new.handover.shared_writes {
            let both = old.handover.writes.intersection(&new.handover.writes);
            reasons.extend(both.map(|source| Reason::Claim(Claim::Mount(source.clone()).to_string())));
        }
        if !old.handover.is_reached(old.listening) && !new.handover.is_reached(&BTreeSet::new()) {
            reasons.push(Reason::Unreached);
        }
    }
    reasons
}

/// That two instances don't fit into the host's memory side by side, unless the file says that they may overlap.
#[must_use]
pub fn too_large(old: &Handover, new: &Handover, all: Option<u64>) -> Option<Reason> {
    let both = old.memory?.saturating_add(new.memory?);
    let all = all?;
    (new.order == UpdateOrder::Safe && both > all).then_some(Reason::Memory(both, all))
}

/// What no declaration helps against.
fn impossible(old: Side<'_>, new: Side<'_>) -> Vec<Reason> {
    let (was, is) = (old.handover, new.handover);
    let mut reasons = Vec::new();
    for (id, addresses) in new.addresses {
        let taken = old.addresses.get(id).map_or(&[][..], Vec::as_slice);
        let both = addresses.iter().filter(|address| taken.contains(address));
        reasons.extend(both.map(|address| Reason::Claim(Claim::Address(id.clone(), *address).to_string())));
    }
    let macs = was.macs.intersection(&is.macs);
    reasons
        .extend(macs.map(|(network, mac)| Reason::Claim(format!("MAC address {mac} in network {network}"))));
    let devices = was.devices.intersection(&is.devices);
    reasons.extend(devices.map(|device| Reason::Claim(format!("device {device}"))));
    if was.network == NetworkMode::Host && is.network == NetworkMode::Host {
        reasons.push(Reason::HostNetwork);
    }
    let joined = [&was.network, &is.network].into_iter().find_map(|mode| match mode {
        NetworkMode::Service(service) => Some(service),
        NetworkMode::Own | NetworkMode::None | NetworkMode::Host => None,
    });
    let shared = joined.or(old.shared_by).or(new.shared_by);
    reasons.extend(shared.map(|service| Reason::SharedNetwork(service.clone())));
    reasons
}

/// What a run must do before it is fit for traffic, where no health check says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Listen on all of these.
    All(BTreeSet<Listener>),
    /// Listen on one of these.
    Any(BTreeSet<Listener>),
    /// Have run for this time.
    Time(Duration),
}

impl Need {
    /// What the instance of a slot needs; `before` is the one that it takes the place of, and where that one listens.
    /// A port that is published but that the one before never listened on is not waited for.
    #[must_use]
    pub fn of(new: &Handover, before: Option<(&Handover, &BTreeSet<Listener>)>) -> Self {
        // Only the sockets of a network of its own are looked at.
        if new.network != NetworkMode::Own {
            return Need::Time(new.ready);
        }
        let before = before.filter(|(_, listening)| !listening.is_empty());
        let idle = |port: &Listener| {
            before.is_some_and(|(old, listening)| old.targets().contains(port) && !listening.contains(port))
        };
        let published: BTreeSet<Listener> = new.targets().into_iter().filter(|port| !idle(port)).collect();
        if !published.is_empty() {
            return Need::All(published);
        }
        let known: BTreeSet<Listener> = before.into_iter().flat_map(|(_, seen)| lasting(seen)).collect();
        match (known.is_empty(), new.expose.is_empty()) {
            (false, _) => Need::All(known),
            (true, false) => Need::Any(new.expose.clone()),
            (true, true) => Need::Time(new.ready),
        }
    }

    /// What is still lacking after a run of `age` that listens there, as a sentence part.
    #[must_use]
    pub fn lacks(&self, listening: &BTreeSet<Listener>, age: Duration) -> Option<String> {
        match self {
            Need::All(ports) => {
                ports.difference(listening).next().map(|port| format!("port {port} to listen"))
            }
            Need::Any(ports) if ports.is_disjoint(listening) => {
                ports.first().map(|port| format!("port {port} to listen"))
            }
            Need::Time(time) if age < *time => Some(format!("it to have run for {time:?}")),
            Need::Any(_) | Need::Time(_) => None,
        }
    }
}
