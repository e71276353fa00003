//! What the builds of an agent that was killed left running: their commands' control groups, which say who belongs to
//! them. Mounts go with the processes; folders are a dead session of the store, which its next opening clears.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hoist_runtime::cgroup::{Cgroup, CgroupError, CgroupPath, Hierarchy};

/// How the groups of commands are called, below this root's own.
pub(super) const PREFIX: &str = "build-";
/// How long killed processes may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Kills the commands, and removes their groups. Who can't be ended holds nobody up: a later start tries again.
pub(crate) fn end(hierarchy: &Arc<Hierarchy>, groups: &CgroupPath) {
    let deadline = Instant::now() + PATIENCE;
    for name in names(hierarchy, groups) {
        if let Err(error) = end_one(hierarchy, groups, &name, deadline) {
            tracing::warn!("a build of before can't be ended: {}", crate::chain::chain(&error));
        }
    }
}

fn names(hierarchy: &Hierarchy, groups: &CgroupPath) -> BTreeSet<String> {
    let folders = hierarchy.directories(groups);
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(PREFIX)).collect()
}

fn end_one(
    hierarchy: &Arc<Hierarchy>,
    groups: &CgroupPath,
    name: &str,
    deadline: Instant,
) -> Result<(), CgroupError> {
    let group = Cgroup::open(hierarchy, &groups.child(name)?)?;
    group.kill()?;
    loop {
        // It waits for a moment by itself.
        match group.remove() {
            Err(CgroupError::InUse { .. }) if Instant::now() < deadline => {}
            done => return done,
        }
    }
}
