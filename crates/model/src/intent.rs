//! What people asked for: a stack's revisions, and per service what to do with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Digest, HistoryEntry, ResolvedImage, Revision, ServiceName, Stack, WallTime};

/// What a person asked of one service. `up SVC` moves only SVC and its dependencies, so services of one stack may
/// stand at different revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The revision it should be at.
    pub revision: Revision,
    /// Run, stop, or be gone.
    pub run: RunIntent,
    /// `--scale`, until the next `up`.
    pub replicas: Option<u32>,
    /// Raised by `restart`: each instance is stopped and started once per raise.
    #[serde(default)]
    pub restart_nonce: u64,
    /// Raised by `up` and `start` when instances have ended: those are started once per raise, running ones stay.
    #[serde(default)]
    pub start_nonce: u64,
    /// `-V`: instances that are made now don't take over anonymous volumes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renew_volumes: bool,
}

/// Whether a service should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunIntent {
    /// Run, as the restart policy says.
    Running,
    /// Stopped by a person; the loop never undoes it. The policy `always` runs it again from a later daemon epoch on.
    Stopped {
        /// The agent's daemon epoch at the time of the stop (see [`crate::HostReport::epoch`]).
        epoch: u64,
    },
    /// Removed.
    Absent,
}

/// One applied version of a stack: resolved file and image digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackRevision {
    /// Its number in the stack.
    pub number: Revision,
    /// The lowered file.
    pub stack: Stack,
    /// Each service's image, settled.
    #[serde(default)]
    pub images: BTreeMap<ServiceName, ResolvedImage>,
    /// When it was put.
    #[serde(default)]
    pub created: WallTime,
}

/// A stack as wanted: intents, the revisions that they name, and the ones before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WantedStack {
    /// The newest revisions, those that some intent names, and those that are needed to go back to one that is kept.
    pub revisions: BTreeMap<Revision, Arc<StackRevision>>,
    /// What became of revisions, also of some whose content is gone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub history: BTreeMap<Revision, HistoryEntry>,
    /// Images of the last revisions that are gone, the newest last: what a person may go back to.
    pub past_images: Vec<BTreeSet<Digest>>,
    /// One for each service that is or was in the file and is not gone yet.
    pub intents: BTreeMap<ServiceName, Intent>,
    /// The folder of the stack file, for `ps` and labels.
    pub project_dir: PathBuf,
    /// The stack files, for `ps` and labels.
    pub files: Vec<PathBuf>,
    /// `down` was asked: networks go too, and volumes when the flag is set.
    pub removal: Option<Removal>,
    /// How long instances may take to end, in place of their own grace period (`-t`). Until the next request.
    pub stop_grace: Option<Duration>,
}

/// What `down` should remove besides instances and networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Removal {
    /// `-v`: the stack's volumes as well.
    pub volumes: bool,
}
