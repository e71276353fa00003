//! The interface that the CLI uses: stacks, not hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use async_trait::async_trait;
use hoist_model::{
    Author, Event, HistoryEntry, HostReport, InstanceReport, InstanceUid, Preview, ProbeRecord, PullPolicy,
    Revision, ServiceName, Stack, StackId, WantedStack,
};
use serde::{Deserialize, Serialize};

use crate::build::BuildApi;
use crate::{
    ApiError, ExecRequest, ExecSession, ImageApi, Items, LogStream, LogsRequest, RegistryAccess, Signal,
};

/// Events of one operation, ended by a verdict.
pub type EventStream = Items<Event>;

/// A stack as `up` hands it over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutStack {
    /// The lowered stack.
    pub stack: Stack,
    /// What to do with it.
    pub up: Up,
    /// The folder of the stack file.
    pub project_dir: PathBuf,
    /// The stack files.
    pub files: Vec<PathBuf>,
    /// Refuse when the stack stands at another revision.
    pub expected: Option<Revision>,
    /// How to reach the registries of its images.
    #[serde(default)]
    pub access: RegistryAccess,
    /// Who asks.
    #[serde(default)]
    pub by: Author,
    /// It may destroy data: volumes that go with an instance. Else it is refused where it would.
    #[serde(default)]
    pub may_destroy: bool,
}

/// The options of `up`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Up {
    /// Only these and their dependencies; all when empty.
    pub services: Vec<ServiceName>,
    /// Leave dependencies alone (`--no-deps`).
    pub no_deps: bool,
    /// `--scale`.
    pub scale: BTreeMap<ServiceName, u32>,
    /// Remove services that left the file.
    pub remove_orphans: bool,
    /// Recreate even what is unchanged.
    pub force_recreate: bool,
    /// Recreate what runs with the guards of an earlier release (`--refresh-guards`).
    pub refresh_guards: bool,
    /// New instances don't take over anonymous volumes (`--renew-anon-volumes`).
    pub renew_volumes: bool,
    /// Make, don't start.
    pub no_start: bool,
    /// The verdict waits for health and completion (`--wait`), not only for starts.
    pub wait: bool,
    /// `--pull`: instead of each service's `pull_policy`.
    pub pull: Option<PullPolicy>,
}

/// Which services of a stack; all when empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Select {
    /// The stack.
    pub stack: StackId,
    /// The services.
    pub services: Vec<ServiceName>,
}

/// `down`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// The stack.
    pub stack: StackId,
    /// `-v`: remove its volumes.
    pub volumes: bool,
    /// Only these services; all, with networks, when empty.
    pub services: Vec<ServiceName>,
    /// `-t`: seconds between the stop signal and SIGKILL.
    pub timeout: Option<u32>,
}

/// `stop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// What.
    pub select: Select,
    /// `-t`: seconds between the stop signal and SIGKILL.
    pub timeout: Option<u32>,
    /// Kill at once (second Ctrl-C).
    pub kill: bool,
}

/// `start`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// What.
    pub select: Select,
    /// The verdict waits for health.
    pub wait: bool,
}

/// `restart`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// What.
    pub select: Select,
    /// Don't restart dependents that ask for it.
    pub no_deps: bool,
    /// `-t`: seconds between the stop signal and SIGKILL.
    pub timeout: Option<u32>,
}

/// `rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// The stack.
    pub stack: StackId,
    /// The revision to go back to; the last that succeeded before the present one when none.
    #[serde(default)]
    pub to: Option<Revision>,
    /// Who asks.
    #[serde(default)]
    pub by: Author,
    /// The verdict waits for health and completion.
    #[serde(default)]
    pub wait: bool,
}

/// What a command would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The command.
    pub of: PlanOf,
    /// Services whose images the command builds first.
    #[serde(default)]
    pub builds: BTreeSet<ServiceName>,
    /// Ask no registry: an image that would be pulled counts as another.
    #[serde(default)]
    pub offline: bool,
}

/// A command that can be looked ahead of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanOf {
    /// `up`.
    Up(Box<PutStack>),
    /// `down`.
    Down(Down),
}

/// What a rollback would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackPreview {
    /// The revision that it would go back to.
    pub to: Revision,
    /// What it would change, in a few words each.
    pub changes: Vec<String>,
}

/// `diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// The stack.
    pub stack: StackId,
    /// What it was.
    pub from: DiffSide,
    /// What it is.
    pub to: DiffSide,
}

/// One version of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiffSide {
    /// The newest revision.
    Present,
    /// A revision.
    Revision(Revision),
    /// A file, lowered.
    File(Box<Stack>),
}

/// One field that two versions have otherwise. Secrets' values are hidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDifference {
    /// Where in the stack file: `services.web.environment.VERSION`.
    pub path: String,
    /// What it was; none where it wasn't there.
    pub was: Option<String>,
    /// What it is; none where it isn't there any more.
    pub is: Option<String>,
}

/// `history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackHistory {
    /// The stack.
    pub id: StackId,
    /// What became of its revisions.
    pub entries: BTreeMap<Revision, HistoryEntry>,
    /// Those that can be gone back to.
    pub kept: BTreeSet<Revision>,
}

/// An instance and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// The instance.
    pub uid: InstanceUid,
    /// What its host says.
    pub report: InstanceReport,
    /// The image as the file names it.
    pub image: String,
    /// Command line, as `ps` shows it.
    pub command: Vec<String>,
    /// Labels, Compose's among them.
    pub labels: BTreeMap<String, String>,
    /// Volumes and binds, as `ps` lists them.
    pub mounts: Vec<String>,
    /// Its service left the file.
    pub orphan: bool,
    /// What its last probes said, oldest first; told where one stack is asked for, not while it is watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<ProbeRecord>,
}

/// A stack, what is wanted and what is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackStatus {
    /// The stack.
    pub id: StackId,
    /// What is wanted.
    pub wanted: WantedStack,
    /// Its instances, ordered by slot.
    pub instances: Vec<InstanceStatus>,
    /// What a person should know of its networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `agent status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Version of the binary.
    pub version: String,
    /// Process ids of agent, keeper, dns; 0 when not running.
    pub pids: [i32; 3],
    /// The state folder.
    pub root: PathBuf,
    /// The stacks it knows.
    pub stacks: Vec<StackId>,
    /// The host's report.
    pub report: HostReport,
    /// What a person should know of the host's networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Everything the CLI asks for.
#[async_trait]
pub trait ClusterApi: ImageApi + BuildApi {
    /// `up`: stores a revision and intents, and tells what happens until the verdict.
    async fn put_stack(&self, request: PutStack) -> Result<EventStream, ApiError>;
    /// What `up` or `down` would do. Changes nothing; registries are asked for digests, and nothing is pulled.
    async fn plan(&self, request: Plan) -> Result<Preview, ApiError>;
    /// `down`.
    async fn down(&self, request: Down) -> Result<EventStream, ApiError>;
    /// `stop`.
    async fn stop(&self, request: Stop) -> Result<EventStream, ApiError>;
    /// `start`.
    async fn start(&self, request: Start) -> Result<EventStream, ApiError>;
    /// `restart`.
    async fn restart(&self, request: Restart) -> Result<EventStream, ApiError>;
    /// `rollback`: the stack goes back to an earlier revision as a whole; tells what happens until the verdict.
    async fn rollback(&self, request: Rollback) -> Result<EventStream, ApiError>;
    /// What a rollback would do. Changes nothing.
    async fn foresee_rollback(&self, request: Rollback) -> Result<RollbackPreview, ApiError>;
    /// `diff`: what two versions of a stack have otherwise.
    async fn diff(&self, request: Diff) -> Result<Vec<FieldDifference>, ApiError>;
    /// `history`; `NotFound` when there is no such stack.
    async fn history(&self, stack: StackId) -> Result<StackHistory, ApiError>;
    /// The events of the stack's operation under way, after `seq`; for a client that lost its stream.
    async fn resume(&self, stack: StackId, seq: u64) -> Result<EventStream, ApiError>;
    /// One stack; `NotFound` when there is none.
    async fn stack(&self, id: StackId) -> Result<StackStatus, ApiError>;
    /// The stack again at each change of its instances, the current state first.
    async fn watch(&self, id: StackId) -> Result<StatusStream, ApiError>;
    /// All stacks.
    async fn stacks(&self) -> Result<Vec<StackStatus>, ApiError>;
    /// See [`crate::HostApi::exec`].
    async fn exec(&self, request: ExecRequest) -> Result<ExecSession, ApiError>;
    /// See [`crate::HostApi::logs`].
    async fn logs(&self, request: LogsRequest) -> Result<LogStream, ApiError>;
    /// See [`crate::HostApi::kill`].
    async fn kill(&self, instance: InstanceUid, signal: Signal) -> Result<(), ApiError>;
    /// `agent status`.
    async fn status(&self) -> Result<AgentStatus, ApiError>;
    /// `agent stop`: ends agent, keeper and dns; refused while instances run unless `force`, which stops them.
    async fn shutdown(&self, force: bool) -> Result<(), ApiError>;
}

/// A stack at each change.
pub type StatusStream = Items<StackStatus>;
