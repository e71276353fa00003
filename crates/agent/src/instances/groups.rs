//! This root's control groups, which say what runs of an instance, whoever knows of it: they outlive every record.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hoist_model::InstanceUid;
use hoist_planner::host::StepError;
use hoist_runtime::cgroup::{Cgroup, CgroupPath, Hierarchy};

use crate::outcome::failed;

/// How long killed processes may take to end before that is an error, to be tried again.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);

/// The instances that have a control group, with processes or without.
pub(crate) fn instances(hierarchy: &Hierarchy, groups: &CgroupPath) -> BTreeSet<InstanceUid> {
    let folders = hierarchy.directories(groups);
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The instances that have processes.
pub(crate) fn populated(hierarchy: &Arc<Hierarchy>, groups: &CgroupPath) -> BTreeSet<InstanceUid> {
    let has_processes = |uid: &InstanceUid| {
        groups.child(uid.to_string()).is_ok_and(|path| !processes(hierarchy, &path).is_empty())
    };
    instances(hierarchy, groups).into_iter().filter(has_processes).collect()
}

/// The processes of a group and of all below it; none when it isn't there.
pub(crate) fn processes(hierarchy: &Arc<Hierarchy>, path: &CgroupPath) -> BTreeSet<i32> {
    Cgroup::open(hierarchy, path).and_then(|group| group.pids()).unwrap_or_default()
}

/// Kills every process of a group and waits until there is none. Blocking.
pub(crate) fn empty(hierarchy: &Arc<Hierarchy>, path: &CgroupPath) -> Result<(), StepError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = processes(hierarchy, path);
        let Some(first) = left.first() else { return Ok(()) };
        if Instant::now() > deadline {
            let what =
                format!("{} of its processes don't end although they were killed, {first} first", left.len());
            return Err(StepError { what, hint: None, permanent: false });
        }
        if let Ok(group) = Cgroup::open(hierarchy, path) {
            group.kill().map_err(|error| failed(&error))?;
        }
        std::thread::sleep(LOOK);
    }
}
