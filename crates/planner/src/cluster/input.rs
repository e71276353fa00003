//! What goes into the orchestrator's loop and what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use hoist_model::{
    Author, Endpoints, EventKind, Failure, Generation, HostId, HostReport, HostSpec, ImageSource, Moment,
    PullPolicy, ResolvedImage, Revision, ServiceName, Stack, StackId, WantedStack,
};

use super::intent::UpOptions;
use super::{Pool, Record};

/// One operation of a person, numbered by the shell: all its events carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// What the store held when the orchestrator started.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Wanted stacks.
    pub stacks: BTreeMap<StackId, WantedStack>,
    /// The specs planned last.
    pub specs: BTreeMap<HostId, HostSpec>,
    /// The endpoints planned last.
    pub endpoints: BTreeMap<HostId, Endpoints>,
    /// The record.
    pub record: Record,
    /// Address ranges.
    pub pool: Pool,
    /// Incarnation and term.
    pub leadership: Generation,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A person asks for something. Ended by `Effect::Refuse` or by a verdict among the operation's events.
    Request {
        /// The operation.
        op: OpId,
        /// What is asked.
        request: Box<Request>,
    },
    /// The images of an `up` are settled, or not.
    ImagesResolved {
        /// The operation.
        op: OpId,
        /// Every service that was asked for.
        images: BTreeMap<ServiceName, Result<ResolvedImage, Failure>>,
    },
    /// A host's report: whole, replaces its last one.
    Report(Box<HostReport>),
    /// A host has a newer spec than the one that was sent to it.
    Outdated {
        /// The host.
        host: HostId,
        /// What it has.
        current: Generation,
    },
    /// A person prunes the volumes that no stack names.
    PruneVolumes,
    /// A wake-up is due, perhaps.
    Timer,
}

/// What a person asks for.
#[derive(Debug, Clone)]
pub enum Request {
    /// `up`.
    Up(UpRequest),
    /// `down`.
    Down {
        /// The stack.
        stack: StackId,
        /// Only these; all, with networks, when empty.
        services: Vec<ServiceName>,
        /// Its volumes too.
        volumes: bool,
        /// Kill what still runs after this time, in place of its grace period.
        timeout: Option<Duration>,
    },
    /// `stop`.
    Stop {
        /// The stack.
        stack: StackId,
        /// Only these; all when empty.
        services: Vec<ServiceName>,
        /// See `Down`; zero kills at once.
        timeout: Option<Duration>,
    },
    /// `start`.
    Start {
        /// The stack.
        stack: StackId,
        /// Only these; all when empty.
        services: Vec<ServiceName>,
        /// The verdict waits for health.
        wait: bool,
    },
    /// `restart`.
    Restart {
        /// The stack.
        stack: StackId,
        /// Only these; all when empty.
        services: Vec<ServiceName>,
        /// Leave dependents that ask for it alone.
        no_deps: bool,
        /// See `Down`.
        timeout: Option<Duration>,
    },
    /// `rollback`.
    Rollback {
        /// The stack.
        stack: StackId,
        /// The revision to go back to; the last that succeeded before the present one when none.
        to: Option<Revision>,
        /// Who asks.
        by: Author,
        /// The verdict waits for health.
        wait: bool,
    },
}

/// `up`.
#[derive(Debug, Clone)]
pub struct UpRequest {
    /// The lowered stack.
    pub stack: Stack,
    /// What to do with it.
    pub options: UpOptions,
    /// The folder of the stack file.
    pub project_dir: PathBuf,
    /// The stack files.
    pub files: Vec<PathBuf>,
    /// Refuse when the stack's newest revision is another.
    pub expected: Option<Revision>,
    /// Who asks.
    pub by: Author,
}

/// An image to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageWanted {
    /// The service.
    pub service: ServiceName,
    /// What the file names.
    pub source: ImageSource,
    /// How.
    pub policy: PullPolicy,
}

/// Something to do, in the order returned. `Store` must be durable before a later effect begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Settle these images, side by side, then say `ImagesResolved` once.
    ResolveImages {
        /// The operation.
        op: OpId,
        /// The images.
        images: Vec<ImageWanted>,
    },
    /// Write to the store, all or nothing.
    Store(StoreChange),
    /// Send until accepted; a newer one takes its place.
    PutSpec {
        /// The host.
        host: HostId,
        /// The spec.
        spec: Box<HostSpec>,
    },
    /// Send until accepted; newer ones take their place.
    PutEndpoints {
        /// The host.
        host: HostId,
        /// The endpoints.
        endpoints: Box<Endpoints>,
    },
    /// Tell whoever follows the operation. A verdict is its last event.
    Emit {
        /// The operation.
        op: OpId,
        /// The stack that it is about.
        stack: StackId,
        /// What happened.
        event: EventKind,
    },
    /// Answer the request with an error: nothing was changed.
    Refuse {
        /// The operation.
        op: OpId,
        /// Why.
        refusal: Refusal,
    },
    /// Call `step` with `Timer` then. Replaces the wake-up before.
    WakeAt(Moment),
}

/// A change of the store.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoreChange {
    /// Stacks to write, or (none) to remove.
    pub stacks: BTreeMap<StackId, Option<Box<WantedStack>>>,
    /// Specs to write.
    pub specs: BTreeMap<HostId, HostSpec>,
    /// Endpoints to write.
    pub endpoints: BTreeMap<HostId, Endpoints>,
    /// The record to write, when it changed.
    pub record: Option<Record>,
    /// The leadership to write, when a new incarnation takes over from a newer store (see `leadership`).
    pub leadership: Option<Generation>,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind.
    pub kind: RefusalKind,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// What kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// What was asked makes no sense.
    Invalid,
    /// It names something that isn't there.
    NotFound,
    /// It lost against another change, or claims what another stack has.
    Conflict,
}

/// The images that these services need.
pub(super) fn images(
    stack: &Stack,
    services: &BTreeSet<ServiceName>,
    pull: Option<PullPolicy>,
) -> Vec<ImageWanted> {
    let wanted = stack.services.iter().filter(|(name, _)| services.contains(*name));
    wanted
        .map(|(name, service)| ImageWanted {
            service: name.clone(),
            source: service.image.clone(),
            policy: pull.unwrap_or(service.pull_policy),
        })
        .collect()
}
