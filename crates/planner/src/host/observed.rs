//! What the agent knows about its host: seen, and journalled where the kernel forgets.
//!
//! [`Instance`] is at the same time the journal's entry: the shell writes it when [`super::Effect::Journal`] says so,
//! and hands all of them back in [`super::Restored`]. Nothing here is wanted state.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{
    BootId, Digest, Exit, Guards, Health, InstanceKind, InstanceUid, Listener, Moment, NetworkId,
    NetworkReport, ProbeRecord, PublishedReport, Revision, ServiceName, Slot, Template, TemplateHash,
    VolumeId, WallTime,
};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{FabricProgress, HooksRun, PublishKey, Step};
use crate::rollout::Handover;

/// Everything seen on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The boot that moments count from.
    pub boot: BootId,
    /// See [`hoist_model::HostReport::epoch`].
    pub epoch: u64,
    /// Instances that exist, wanted or not.
    pub instances: BTreeMap<InstanceUid, Instance>,
    /// Networks that exist.
    pub networks: BTreeMap<NetworkId, NetworkReport>,
    /// Volumes that exist.
    pub volumes: BTreeSet<VolumeId>,
    /// The host's memory, bytes, where it is known.
    pub memory: Option<u64>,
    /// How far the fabric is behind what was planned.
    pub fabric: FabricProgress,
    /// Instances that get no new traffic because they are about to be told to end, and since when.
    pub withdrawn: BTreeMap<InstanceUid, Moment>,
    /// Host ports: reserved, or refused and why.
    pub published: BTreeMap<PublishKey, PublishSeen>,
    /// Networks that the host's own routes and links use; Hoist's own links are left out.
    pub routes: Vec<IpNetwork>,
    /// Steps under way: they are not planned again.
    pub in_flight: BTreeSet<Step>,
    /// Steps that failed last time, with when to try again.
    pub faults: BTreeMap<Step, Fault>,
    /// Runs that neither journal nor spec know (the journal was lost): killed and removed. True while one runs.
    pub strays: BTreeMap<InstanceUid, bool>,
    /// Instances with processes that no keeper looks after. They are ended before the instance starts again.
    pub unkept: BTreeSet<InstanceUid>,
    /// Running instances that lack an interface.
    pub detached: BTreeSet<InstanceUid>,
    /// The keeper answers. While it doesn't, nothing is launched or signalled.
    pub keeper: bool,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What happened, where.
    pub what: String,
    /// What to do next, when known.
    pub hint: Option<String>,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// When to try again; never when trying again can't help.
    pub retry: Option<Moment>,
}

/// One instance: what was decided when it was made, and what has happened to it since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// What it was made with.
    pub birth: Birth,
    /// Where it stands.
    pub life: Life,
    /// Starts so far; the next attempt's number is one higher.
    pub starts: u32,
    /// Restarts by policy since a person, or the daemon's start, started it. Docker's `RestartCount`.
    #[serde(default)]
    pub restarts: u32,
    /// The pause before the next restart by policy; zero before the first.
    #[serde(default)]
    pub pause: Duration,
    /// The restart nonce that it has acted on.
    #[serde(default)]
    pub restart_nonce: u64,
    /// The start nonce that it has acted on.
    #[serde(default)]
    pub start_nonce: u64,
    /// What its probes say about the current run.
    #[serde(default)]
    pub health: Health,
    /// The probe that made it unhealthy, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeRecord>,
    /// The kernel killed it, or a process of it, for want of memory in the last run.
    #[serde(default)]
    pub oom_killed: bool,
    /// It has been told to end; kept until it has.
    pub stopping: Option<Stopping>,
    /// When it was made.
    #[serde(default)]
    pub created: WallTime,
    /// The last start.
    pub started: Option<WallTime>,
    /// The last end.
    pub finished: Option<WallTime>,
    /// How it last ended.
    pub exit: Option<Exit>,
    /// Why the last launch failed, when it did.
    pub fault: Option<Fault>,
    /// Whose network namespace it was last launched into, when that isn't its own (`network_mode: service:`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Joined>,
    /// What guards its last run.
    #[serde(default)]
    pub guards: Guards,
    /// The current run has become fit for traffic; only where no health check says so.
    #[serde(default)]
    pub come_up: bool,
    /// Where the last run was seen to listen for others.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub listening: BTreeSet<Listener>,
    /// Its traffic was taken over by another instance, or its place is to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<Draining>,
    /// Its probes say that it is to start anew; kept until it has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfit: bool,
    /// How long the last run took; none before the first end.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    pub ran: Duration,
    /// A service that it depends on is unhealthy, or has been and isn't healthy again, and that concerns it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shaken: bool,
    /// It has taken over the anonymous volumes of the instance before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carried: bool,
    /// How far the hooks of the current run are.
    #[serde(default, skip_serializing_if = "HooksRun::is_fresh")]
    pub hooks: HooksRun,
    /// Hoist has told the one before it, or its own last run, to end, then; it takes the place, and isn't ready yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Moment>,
    /// What content the files of the current run have; only where other content is put in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Digest>,
}

/// An instance that gets nothing new and finishes what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// Since when.
    pub since: Moment,
    /// Its program was told so.
    #[serde(default)]
    pub signalled: bool,
    /// It has no connection left.
    #[serde(default)]
    pub idle: bool,
}

/// A run of another instance, whose network namespace is shared: each run has a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The instance.
    pub instance: InstanceUid,
    /// Which start of it.
    pub attempt: u32,
}

/// What must be known of an instance even when its spec is gone: how to stop it, in which order, what it claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// The slot it fills.
    pub slot: Slot,
    /// Why it exists.
    pub kind: InstanceKind,
    /// Its revision.
    pub revision: Revision,
    /// Its definition.
    pub template: TemplateHash,
    /// The signal that asks it to end.
    pub stop_signal: String,
    /// Time between that signal and SIGKILL.
    pub stop_grace: Duration,
    /// Services of its stack that it depends on: they stop after it.
    #[serde(default)]
    pub depends_on: BTreeSet<ServiceName>,
    /// Its addresses.
    #[serde(default)]
    pub addresses: BTreeMap<NetworkId, Vec<IpAddr>>,
    /// Named volumes that it mounts: they can't be removed before it.
    #[serde(default)]
    pub volumes: BTreeSet<VolumeId>,
    /// How its place is given to another.
    #[serde(default)]
    pub handover: Handover,
    /// What it calls itself (`hostname`, `domainname`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub host_names: BTreeSet<String>,
    /// Its anonymous volumes by where they are mounted, with their numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub anonymous: BTreeMap<std::path::PathBuf, usize>,
    /// So many `post_start` hooks belong to each start.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub post_start: u32,
    /// What its `pre_stop` hooks run with, where it has any: its definition without mounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<Arc<Template>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Where an instance stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Life {
    /// Being laid out, or laid out in part: that is done again after a crash of the agent.
    Making,
    /// Laid out, not running: never started, or the last launch failed or was lost.
    Created,
    /// A launch was asked for and its outcome is not known. After a crash of the agent, the keeper's list says which:
    /// running, ended, or (not in the list) not started.
    Launching,
    /// Its process runs.
    Running {
        /// Since when.
        since: Moment,
        /// Its first process on the host.
        pid: i32,
    },
    /// Its process has ended.
    Ended {
        /// How.
        exit: Exit,
        /// When, if it was in this boot.
        at: Option<Moment>,
        /// Who ended it.
        by: EndedBy,
        /// In which epoch; a later one asks the restart policy anew, as dockerd does at its start.
        epoch: u64,
    },
}

/// Who ended an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// It ended by itself, or something from outside killed it.
    Itself,
    /// Hoist told it to.
    Hoist,
    /// The machine went down under it.
    Reboot,
}

/// An instance that has been told to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// When the stop signal was sent; SIGKILL follows the grace period after it.
    pub since: Moment,
    /// SIGKILL has been sent.
    #[serde(default)]
    pub killed: bool,
}

/// What became of a port to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishSeen {
    /// It is ours; the report says which port and who can reach it.
    Reserved(PublishedReport),
    /// Somebody else has it, or the address isn't this host's: what happened, and what to do.
    Refused(Fault),
}

impl Instance {
    /// Its process exists, or may exist.
    #[must_use]
    pub fn alive(&self) -> bool {
        matches!(self.life, Life::Running { .. } | Life::Launching)
    }

    /// Running and fit to get traffic: healthy, or come up where it has no health check, its `post_start` hooks have
    /// passed, and no dependency holds it. Not while it is being stopped.
    #[must_use]
    pub fn ready(&self) -> bool {
        let fit = match self.health {
            Health::None => self.come_up,
            health => health == Health::Healthy,
        };
        matches!(self.life, Life::Running { .. })
            && fit
            && self.is_hooked()
            && !self.shaken
            && self.stopping.is_none()
    }
}
