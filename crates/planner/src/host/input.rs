//! What goes into the agent's loop and what comes out.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{
    BootId, Endpoints, Exit, Guards, Health, HostId, HostReport, HostSpec, InstanceUid, Listener, Moment,
    NetworkId, NetworkReport, ProbeRecord, PublishedReport, VolumeId,
};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{FabricWanted, Instance, Probing, PublishKey, Step, Watching, Zone};

/// What the shell found on disk when the agent started.
#[derive(Debug, Clone)]
pub struct Restored {
    /// This host.
    pub host: HostId,
    /// The boot it runs in now.
    pub boot: BootId,
    /// Why the agent started.
    pub started_by: StartedBy,
    /// Epoch and boot as journalled; none on a new host.
    pub daemon: Option<(u64, BootId)>,
    /// The spec last accepted.
    pub spec: Option<HostSpec>,
    /// The endpoints last accepted.
    pub endpoints: Option<Endpoints>,
    /// The journal's instances.
    pub instances: BTreeMap<InstanceUid, Instance>,
    /// What is started from now on is guarded so.
    pub guards: Guards,
}

/// Why the agent started. A boot is known by its id, whatever is said here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartedBy {
    /// A person, or the init system on their behalf: a new epoch.
    Person,
    /// The keeper after a crash: not a new epoch.
    Crash,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// What exists on the host: after the start, and whenever the keeper is back. Nothing is planned before the first.
    Adopted(Adopted),
    /// The keeper doesn't answer any more. Instances run on; nothing is launched or signalled until `Adopted`.
    KeeperLost,
    /// The orchestrator wants this. Answered by an effect: `SpecAccepted` or `SpecRefused`.
    SpecPut(Box<HostSpec>),
    /// The orchestrator says where services are. Older ones are ignored.
    EndpointsPut(Box<Endpoints>),
    /// A step has ended.
    StepDone {
        /// The step as it was returned.
        step: Step,
        /// How.
        result: StepResult,
    },
    /// A first process has ended.
    Exited {
        /// The instance.
        uid: InstanceUid,
        /// The start that it ended.
        attempt: u32,
        /// How it ended.
        exit: Exit,
        /// The kernel killed for want of memory.
        oom_killed: bool,
    },
    /// [`super::Prober::probed`] returned a new health.
    Probed {
        /// The instance.
        uid: InstanceUid,
        /// The start that was probed.
        attempt: u32,
        /// The health.
        health: Health,
        /// The probe that changed it, where it is known.
        probe: Option<ProbeRecord>,
    },
    /// A liveness probe says that a run is to start anew.
    Unfit {
        /// The instance.
        uid: InstanceUid,
        /// The start that was probed.
        attempt: u32,
        /// The probe that said so, where it is known.
        probe: Option<ProbeRecord>,
    },
    /// Where a run listens for others has changed.
    Listens {
        /// The instance.
        uid: InstanceUid,
        /// The start that was looked at.
        attempt: u32,
        /// The ports, those that only its own network namespace reaches left out.
        ports: BTreeSet<Listener>,
    },
    /// Nobody is connected any more to a run that drains.
    Idle {
        /// The instance.
        uid: InstanceUid,
        /// The start that was looked at.
        attempt: u32,
    },
    /// The fabric was applied, or ports changed hands.
    FabricApplied(FabricSeen),
    /// The host's own routes changed.
    Routes(Vec<IpNetwork>),
    /// A wake-up is due, perhaps.
    Timer,
}

/// What exists on the host. It is read after everything that an earlier agent began has come about or never will: a
/// launch that the keeper accepted from it is in the list.
#[derive(Debug, Clone, Default)]
pub struct Adopted {
    /// The keeper's list: every run that it or the kernel still knows.
    pub processes: BTreeMap<InstanceUid, Process>,
    /// Launches that the keeper is still busy with: their outcome is told by a later [`Input::Adopted`].
    pub launching: BTreeSet<InstanceUid>,
    /// Instances with processes that the keeper doesn't look after: its record of them was lost, or can't be read.
    pub unkept: BTreeSet<InstanceUid>,
    /// Networks in the fabric.
    pub networks: BTreeMap<NetworkId, NetworkReport>,
    /// Volumes on disk.
    pub volumes: Vec<VolumeId>,
    /// The host's memory, bytes, where it is known.
    pub memory: Option<u64>,
    /// See [`super::Observed::routes`].
    pub routes: Vec<IpNetwork>,
}

/// A run in the keeper's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Which start it was.
    pub attempt: u32,
    /// When it began.
    pub since: Moment,
    /// Its first process on the host.
    pub pid: i32,
    /// How it ended, when it has, and whether for want of memory.
    pub ended: Option<(Exit, bool)>,
}

/// How a step ended.
pub type StepResult = Result<StepOk, StepError>;

/// What a step that worked has to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepOk {
    /// The first process, for `StartInstance`.
    pub pid: Option<i32>,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    /// What happened, where.
    pub what: String,
    /// What to do next, when known.
    pub hint: Option<String>,
    /// Trying again can't help until a person changes something.
    pub permanent: bool,
}

/// What the fabric looks like after an application, or at a look in between.
#[derive(Debug, Clone, Default)]
pub struct FabricSeen {
    /// What was applied. A look in between applies nothing.
    pub applied: Option<Application>,
    /// Every port of the [`FabricWanted`] that was applied: which port and who can reach it, or why it was refused.
    pub published: BTreeMap<PublishKey, Result<PublishedReport, StepError>>,
    /// Instances that were running and lacked an interface.
    pub detached: BTreeSet<InstanceUid>,
}

/// What became of an [`Effect::ApplyFabric`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Which one; those with lower numbers were skipped or are overwritten.
    pub number: u64,
    /// Whether the kernel has it now. After a failure it may have any part of it.
    pub outcome: Result<(), StepError>,
}

/// Something to do, in the order returned. `Journal` and `StoreSpec` must be on disk (safe against a kill of the
/// agent; `StoreSpec` against a power cut too) before a later effect begins. `Perform` effects run side by side; each
/// ends in one `StepDone`.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write to the journal.
    Journal(JournalEntry),
    /// Write the spec to the ledger, then answer the caller of `put_host_spec`.
    StoreSpec(Box<HostSpec>),
    /// Write the endpoints to the ledger.
    StoreEndpoints(Box<Endpoints>),
    /// Answer the caller of `put_host_spec`: accepted already, or now durable.
    SpecAccepted,
    /// Answer the caller of `put_host_spec` with a refusal.
    SpecRefused(SpecRefusal),
    /// Begin this step.
    Perform(Step),
    /// Make the fabric so, then say `FabricApplied`. Of several, those before the newest may be skipped.
    ApplyFabric {
        /// Counts up from 1 since the agent's start.
        number: u64,
        /// The fabric.
        wanted: Box<FabricWanted>,
    },
    /// Hand the names to the DNS server.
    PublishZone(Box<Zone>),
    /// Probe exactly these runs: begin what is new, end what is missing.
    Probe(BTreeMap<InstanceUid, Probing>),
    /// The same for liveness, told by [`Input::Unfit`].
    ProbeLiveness(BTreeMap<InstanceUid, Probing>),
    /// Tell the operator, in the agent's log.
    Warn(String),
    /// Look at the sockets of exactly these runs: begin what is new, end what is missing.
    Watch(BTreeMap<InstanceUid, Watching>),
    /// Push to whoever listens.
    Report(Box<HostReport>),
    /// Call `step` with `Timer` then. Replaces the wake-up before.
    WakeAt(Moment),
}

/// Why a spec was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecRefusal {
    /// A newer one is accepted already.
    Outdated {
        /// What the host has.
        current: hoist_model::Generation,
    },
    /// The same generation was accepted with other content.
    Altered,
}

/// One entry of the journal: each replaces the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JournalEntry {
    /// Epoch and boot.
    Daemon {
        /// The epoch.
        epoch: u64,
        /// The boot.
        boot: BootId,
    },
    /// An instance.
    Instance(InstanceUid, Box<Instance>),
    /// An instance that is gone: its entry goes too.
    Gone(InstanceUid),
}
