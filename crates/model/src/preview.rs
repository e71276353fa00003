//! What a command would do, as `hoist plan` shows it. Its JSON is documented in `docs/reference/plan.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Failure, Revision, ServiceName, StackId};

/// What would become of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preview {
    /// The stack.
    pub stack: StackId,
    /// Anything would change: what is wanted, or what runs.
    pub changes: bool,
    /// The newest revision there is; none before the first `up`.
    pub based_on: Option<Revision>,
    /// The revision that would be made.
    pub revision: Option<Revision>,
    /// Its services, before and after.
    pub services: BTreeMap<ServiceName, ServicePreview>,
    /// What its networks and volumes are declared with otherwise.
    pub differences: Vec<FieldChange>,
    /// Networks that would be made or removed.
    pub networks: Vec<ResourceChange>,
    /// Volumes that would be made or removed.
    pub volumes: Vec<ResourceChange>,
    /// Data that would be gone for good, a sentence part each.
    pub destroys: Vec<String>,
    /// The steps, in the order in which they may begin when everything goes well.
    pub steps: Vec<StepPreview>,
    /// The most memory that the instances of the stack might have at one time by their limits, in bytes; none where none
    /// has a limit.
    pub peak_memory: Option<u64>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Why it can't be done; without steps, nothing would be changed.
    pub failures: Vec<Failure>,
    /// It would not come to rest within the time that is looked ahead.
    pub endless: bool,
    /// What it was computed from, and a digest of each.
    pub inputs: BTreeMap<String, String>,
    /// A digest of all inputs: plans of equal digests are about the same.
    pub digest: String,
}

impl Default for Preview {
    fn default() -> Self {
        Self {
            stack: StackId::new(crate::StackName::new("none").expect("a valid name")),
            changes: false,
            based_on: None,
            revision: None,
            services: BTreeMap::new(),
            differences: Vec::new(),
            networks: Vec::new(),
            volumes: Vec::new(),
            destroys: Vec::new(),
            steps: Vec::new(),
            peak_memory: None,
            warnings: Vec::new(),
            failures: Vec::new(),
            endless: false,
            inputs: BTreeMap::new(),
            digest: String::new(),
        }
    }
}

/// What would become of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServicePreview {
    /// Its places, and what would be done with each.
    pub slots: Vec<SlotPreview>,
    /// What its definition has otherwise.
    pub differences: Vec<FieldChange>,
    /// Why instances would be replaced, restarted or started.
    pub reason: Option<String>,
    /// How an instance would give its place to the next.
    pub order: Option<ReplaceOrder>,
    /// Why the old one would have to end first.
    pub stop_first: Vec<String>,
    /// What its instances would wait for.
    pub waits: Vec<String>,
    /// Whether clients would notice.
    pub downtime: Downtime,
    /// Its image.
    pub image: Option<ImagePreview>,
    /// Its ports: `8080:80/tcp`.
    pub ports: Vec<String>,
}

/// One place of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotPreview {
    /// Its number, from 1.
    pub index: u32,
    /// What would be done.
    pub action: SlotAction,
}

/// What would be done with the instance of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotAction {
    /// There is none, and one would be made.
    Create,
    /// Another takes its place.
    Replace,
    /// It would end and start again.
    Restart,
    /// It exists, and would be started.
    Start,
    /// It would be stopped, and stay.
    Stop,
    /// It would be removed.
    Remove,
    /// Nothing.
    Keep,
}

impl SlotAction {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Restart => "restart",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Keep => "keep",
        }
    }
}

/// A field that would have another value. Values of secrets are hidden.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldChange {
    /// Where in the stack file: `services.web.environment.VERSION`.
    pub path: String,
    /// What it was; none where it wasn't there.
    pub was: Option<String>,
    /// What it would be; none where it would be gone.
    pub is: Option<String>,
    /// `file:line` of the stack file, where that is known.
    pub place: Option<String>,
}

/// Which of two instances of a place comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplaceOrder {
    /// The new one is ready before the old one goes.
    StartFirst,
    /// The old one has ended before the new one starts.
    StopFirst,
}

/// Whether clients of a service would notice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Downtime {
    /// What becomes of new connections.
    pub class: DowntimeClass,
    /// So long an old instance may take to end, in milliseconds; the time until a new one is ready comes on top.
    pub stop_millis: Option<u64>,
    /// For how long connections wait at most before they are refused, in milliseconds; only where they are held.
    pub hold_millis: Option<u64>,
}

/// What becomes of new connections to a service while it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DowntimeClass {
    /// Somebody answers all the time.
    #[default]
    None,
    /// For a while nobody answers, and they wait.
    Held,
    /// For a while nobody answers, and they are refused.
    Refused,
}

/// The image of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePreview {
    /// As the stack file names it.
    pub source: String,
    /// The digest of its configuration where it is on this host, else of what its registry has; none where that is not
    /// known.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// Where it comes from.
    pub state: ImageState,
}

/// Where an image comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageState {
    /// It is on this host.
    Known,
    /// It would be pulled.
    Pull,
    /// It would be built.
    Build,
    /// Its registry can't be asked.
    Unknown,
}

/// A network or volume that comes or goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceChange {
    /// Its name.
    pub name: String,
    /// `Create` or `Remove`.
    pub action: SlotAction,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPreview {
    /// Steps of one round may run side by side; from 1.
    pub round: u32,
    /// `web-1`, or `network shop_default`.
    pub subject: String,
    /// The subject is an instance that is there already, and another takes its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub old: bool,
    /// What: `start 1`.
    pub action: String,
    /// Why.
    pub cause: String,
}
