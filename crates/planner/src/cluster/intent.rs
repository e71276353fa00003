//! What people ask for, applied to what is wanted: `up`, `down`, `stop`, `start`, `restart` as pure functions.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{InstanceUid, ServiceName, WantedStack};

/// The options of `up`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpOptions {
    /// Only these and their dependencies; all when empty.
    pub services: Vec<ServiceName>,
    /// Leave dependencies alone.
    pub no_deps: bool,
    /// Replicas until the next `up`.
    pub scale: BTreeMap<ServiceName, u32>,
    /// Remove services that left the file.
    pub remove_orphans: bool,
    /// Recreate even what is unchanged.
    pub force_recreate: bool,
    /// Make, don't start.
    pub no_start: bool,
    /// The verdict waits for health and completion.
    pub wait: bool,
}

/// A request applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// What is wanted from now on.
    pub wanted: WantedStack,
    /// The services that were moved: the verdict is about them.
    pub services: BTreeSet<ServiceName>,
    /// Instances to replace although unchanged; goes into [`super::Record::retired`].
    pub retired: BTreeSet<InstanceUid>,
    /// Sentences for the person: orphans left running, for one.
    pub warnings: Vec<String>,
}
