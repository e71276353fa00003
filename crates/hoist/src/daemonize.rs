//! What each of the processes does first: leaves the session, the folder and the control group of whoever
//! happened to start it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hoist_agent::Layout;
use hoist_runtime::cgroup::{Anchor, Cgroup, CgroupPath, Hierarchy, Limits};

/// Says something on standard error, which is the process's log. On a full disk it is lost, and that is no reason to
/// panic, as `eprintln!` does.
pub(crate) fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// Leaves. What can't be done on this host (a read-only cgroup tree, say) is left undone: the process still works, it
/// only ends with the session that started it.
pub(crate) fn leave(root: &Path) -> Option<DaemonGroup> {
    // The keeper has signals blocked, and what it starts inherits that (sigprocmask(2)).
    let _ = nix::sys::signal::SigSet::all().thread_unblock();
    let _ = rustix::process::setsid();
    let _ = std::env::set_current_dir("/");
    let group = DaemonGroup::of(&Layout::new(root.to_owned())).ok()?;
    for procs in group.procs_paths() {
        // A controller's tree that doesn't take us is no reason to stay in the others.
        let _ = std::fs::write(procs, "0");
    }
    Some(group)
}

/// The control group of a root's daemons, beside those of its instances.
pub(crate) struct DaemonGroup(Cgroup);

impl DaemonGroup {
    pub(crate) fn of(layout: &Layout) -> Result<Self, Box<dyn std::error::Error>> {
        let tag = hoist_agent::root_tag(layout)?;
        let path = CgroupPath::new(Anchor::Root, Path::new("hoist").join(tag).join("daemons"))?;
        let hierarchy = Arc::new(Hierarchy::detect()?);
        Ok(Self(match Cgroup::open(&hierarchy, &path) {
            Ok(group) => group,
            Err(_) => Cgroup::create(&hierarchy, &path, &Limits::default())?.0,
        }))
    }

    /// The files that a process joins it by.
    pub(crate) fn procs_paths(&self) -> Vec<PathBuf> {
        self.0.procs_paths()
    }

    /// Goes back to the root of every hierarchy and removes the group, if nobody else is in it.
    pub(crate) fn remove(&self) {
        for dir in self.0.directories() {
            let above: Vec<&Path> = dir.ancestors().take(4).collect();
            if let Some(top) = above.last() {
                let _ = std::fs::write(top.join("cgroup.procs"), "0");
            }
            // Innermost first; each goes only when it is empty, so other roots' groups stay.
            for dir in above.iter().take(3) {
                let _ = std::fs::remove_dir(dir);
            }
        }
    }
}
