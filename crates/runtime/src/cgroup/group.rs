//! The life of one control group.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, openat};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::apply::{apply, apply_to_new, write};
use super::op::Plan;
use super::remove::{gone_is_fine, remove_trees};
use super::stats::{self, Stats};
use super::walk::{Visitor, gone_is_none, read_at, walk};
use super::{
    CgroupError, CgroupPath, Controller, Hierarchy, Home, INNER, Limits, Unenforced, plan, plan_contained,
    plan_update,
};

/// A group of processes: one directory in every hierarchy, under the same name.
#[derive(Debug, Clone)]
pub struct Cgroup {
    hierarchy: Arc<Hierarchy>,
    path: CgroupPath,
}

impl Cgroup {
    /// Makes the group and those above it, and sets the limits. What an earlier attempt left under the
    /// name is removed first; a group with processes is not touched. After an error no directory of the
    /// name is left.
    ///
    /// The second value lists the preferences that have no effect on this host.
    pub fn create(
        hierarchy: &Arc<Hierarchy>,
        path: &CgroupPath,
        limits: &Limits,
    ) -> Result<(Cgroup, Vec<Unenforced>), CgroupError> {
        make(hierarchy, path, &plan(hierarchy, path, limits)?)
    }

    /// Makes the group as [`Cgroup::create`] does, and one below it, for a container: its processes join the inner
    /// one ([`Cgroup::entrances`]), and its cgroup namespace begins there. The limits are the outer one's, where the
    /// container can't change them; the inner one shows them. Only rates of block devices on version 1 are the
    /// inner one's alone, as groups there don't hand them down.
    pub fn create_contained(
        hierarchy: &Arc<Hierarchy>,
        path: &CgroupPath,
        limits: &Limits,
    ) -> Result<(Cgroup, Vec<Unenforced>), CgroupError> {
        make(hierarchy, path, &plan_contained(hierarchy, path, limits)?)
    }

    /// The group as it is, when at least one hierarchy has it.
    pub fn open(hierarchy: &Arc<Hierarchy>, path: &CgroupPath) -> Result<Cgroup, CgroupError> {
        let group = Cgroup { hierarchy: Arc::clone(hierarchy), path: path.clone() };
        if group.exists() { Ok(group) } else { Err(CgroupError::Missing { path: path.to_string() }) }
    }

    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// Whether at least one hierarchy has the group.
    pub fn exists(&self) -> bool {
        self.directories().iter().any(|dir| dir.is_dir())
    }

    /// The group's directory in every hierarchy, the unified one last.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.hierarchy.directories(&self.path)
    }

    /// The directories that a process joins to be in the group, one in every hierarchy: those of the inner group
    /// where there is one.
    pub fn entrances(&self) -> Vec<PathBuf> {
        let inner = |dir: PathBuf| Some(dir.join(INNER)).filter(|inner| inner.is_dir()).unwrap_or(dir);
        self.directories().into_iter().map(inner).collect()
    }

    /// The directories that a process joins beside another one of the group, whose /proc/PID/cgroup is given.
    ///
    /// They are [`Cgroup::entrances`], unless the container has made groups with controllers below its own on
    /// version 2, as systemd does: then its own takes no processes any more.
    pub fn entrances_beside(&self, proc_cgroup: &str) -> Vec<PathBuf> {
        let mut entrances = self.entrances();
        let unified = self.hierarchy.unified().and(entrances.last_mut());
        if let Some(dir) = unified
            && fs::read_to_string(dir.join("cgroup.subtree_control"))
                .is_ok_and(|passed_on| !passed_on.trim().is_empty())
            && let Some(below) =
                proc_cgroup.lines().find_map(|line| self.path.below_in(line.strip_prefix("0::")?))
            && let Some(outer) = self.unified_dir()
        {
            *dir = outer.join(below);
        }
        entrances
    }

    /// Changes limits of a group without an inner one; `from` is what was set last and says in which order the kernel accepts the new
    /// ones. After an error some of the new limits may be in force.
    pub fn update(&self, from: &Limits, to: &Limits) -> Result<Vec<Unenforced>, CgroupError> {
        apply(&plan_update(&self.hierarchy, &self.path, from, to)?)
    }

    /// The files that a process writes `0` into to join, the unified tree's last.
    pub fn procs_paths(&self) -> Vec<PathBuf> {
        self.directories().into_iter().map(|dir| dir.join("cgroup.procs")).collect()
    }

    /// The version 2 directory for `CLONE_INTO_CGROUP`. On a hybrid host the version 1 groups are still
    /// to be joined through [`Cgroup::procs_paths`]; `None` when there is no version 2.
    pub fn unified_fd(&self) -> Result<Option<OwnedFd>, CgroupError> {
        let Some(dir) = self.unified_dir() else { return Ok(None) };
        let fd = File::open(&dir).map_err(failed("open", &dir))?;
        Ok(Some(fd.into()))
    }

    /// The version 2 file whose `populated` and `frozen` lines change with a POLLPRI event.
    pub fn events_path(&self) -> Option<PathBuf> {
        self.unified_dir().map(|dir| dir.join("cgroup.events"))
    }

    /// The processes of the group and of all below it, as seen from our PID namespace.
    pub fn pids(&self) -> Result<BTreeSet<i32>, CgroupError> {
        let mut pids = BTreeSet::new();
        for dir in self.directories() {
            pids.extend(pids_below(&dir)?);
        }
        Ok(pids)
    }

    /// Kills every process of the group and of all below it, and doesn't wait for them to be gone.
    pub fn kill(&self) -> Result<(), CgroupError> {
        let swept = if self.kill_unified()? {
            // A process caught between joining version 1's groups and the unified one was not hit.
            self.sweep()
        } else {
            // Without it, a process may fork faster than we can list.
            let frozen = self.freeze().is_ok();
            let swept = self.sweep();
            if frozen { swept.and(self.thaw()) } else { swept }
        };
        swept.and(self.thaw_below_v1())
    }

    /// A process that is frozen on version 1 doesn't die before it thaws, and a container may have frozen groups below
    /// its own.
    fn thaw_below_v1(&self) -> Result<(), CgroupError> {
        let Some(home @ Home::V1(_)) = self.hierarchy.home(Controller::Freezer, self.path.anchor()) else {
            return Ok(());
        };
        let dir = home.directory(&self.path);
        walk(&dir, &mut Thaw).map_err(failed("thaw", &dir))
    }

    /// `cgroup.kill` (kernel 5.14); false where it doesn't exist.
    fn kill_unified(&self) -> Result<bool, CgroupError> {
        let Some(dir) = self.unified_dir() else { return Ok(false) };
        let file = dir.join("cgroup.kill");
        match write(&file, "1") {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(CgroupError::File { action: "write", file, source }),
        }
    }

    /// Kills one by one until a pass finds nobody new.
    fn sweep(&self) -> Result<(), CgroupError> {
        const PASSES: usize = 32;
        let mut seen = BTreeSet::new();
        for _ in 0..PASSES {
            let pids = self.pids()?;
            let fresh: Vec<i32> = pids.difference(&seen).copied().collect();
            if fresh.is_empty() {
                break;
            }
            self.kill_each(&fresh)?;
            seen.extend(fresh);
        }
        Ok(())
    }

    /// A number read from a list may mean another process by now, so the descriptor is taken first and
    /// the list read again.
    fn kill_each(&self, pids: &[i32]) -> Result<(), CgroupError> {
        let open = |pid: &i32| {
            let fd = pidfd_open(rustix::process::Pid::from_raw(*pid)?, PidfdFlags::empty()).ok()?;
            Some((*pid, fd))
        };
        let opened: Vec<(i32, OwnedFd)> = pids.iter().filter_map(open).collect();
        let still = self.pids()?;
        for (_, fd) in opened.iter().filter(|(pid, _)| still.contains(pid)) {
            // Gone already is what we want; nothing else can happen to root.
            let _ = pidfd_send_signal(fd, Signal::KILL);
        }
        Ok(())
    }

    /// Asks for all processes to stop running; [`Cgroup::is_frozen`] tells when they have.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.set_frozen(true)
    }

    /// Lets them run again.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.set_frozen(false)
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), CgroupError> {
        let (file, value) = match self.freezer() {
            Some(Freezer::Unified(dir)) => (dir.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
            Some(Freezer::V1(dir)) => (dir.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" }),
            None => {
                return Err(CgroupError::Unenforceable(Unenforced {
                    key: "freezer",
                    value: frozen.to_string(),
                    why: "there is neither cgroup.freeze nor a freezer controller".to_owned(),
                }));
            }
        };
        write(&file, value).map_err(failed("write", &file))
    }

    /// Whether every process of the group has stopped.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        let (file, line) = match self.freezer() {
            Some(Freezer::Unified(dir)) => (dir.join("cgroup.events"), "frozen 1"),
            Some(Freezer::V1(dir)) => (dir.join("freezer.state"), "FROZEN"),
            None => return Ok(false),
        };
        let text = fs::read_to_string(&file).map_err(failed("read", &file))?;
        Ok(text.lines().any(|found| found == line))
    }

    /// Version 2's freezer first: its processes can still be killed and traced.
    fn freezer(&self) -> Option<Freezer> {
        let unified = self.unified_dir().filter(|dir| dir.join("cgroup.freeze").exists());
        let v1 = || match self.hierarchy.home(Controller::Freezer, self.path.anchor())? {
            home @ Home::V1(_) => Some(Freezer::V1(home.directory(&self.path))),
            Home::Unified(_) => None,
        };
        unified.map(Freezer::Unified).or_else(v1)
    }

    /// What the group uses and used. It can be read until the group is removed, also when all its
    /// processes are gone.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        stats::read(&self.hierarchy, &self.path)
    }

    /// How many processes of the group and of all below it the kernel killed for want of memory; `None`
    /// when the host doesn't count.
    pub fn oom_kills(&self) -> Result<Option<u64>, CgroupError> {
        stats::oom_kills(&self.hierarchy, &self.path)
    }

    /// Removes the group and all below it from every hierarchy; it is no error when nothing is there.
    ///
    /// Killed processes may hold it for a moment, so it is tried for up to about 60 ms.
    pub fn remove(&self) -> Result<(), CgroupError> {
        remove_trees(&self.directories())
    }

    /// Removes the group where it is empty, and leaves it where it has processes or groups below: for the
    /// parents that several share. Says whether nothing of it is left.
    pub fn remove_if_empty(&self) -> Result<bool, CgroupError> {
        for dir in self.directories() {
            match gone_is_fine(fs::remove_dir(&dir)) {
                Err(error) if error.kind() != ErrorKind::ResourceBusy => {
                    return Err(failed("remove", &dir)(error));
                }
                _ => {}
            }
        }
        Ok(!self.exists())
    }

    fn unified_dir(&self) -> Option<PathBuf> {
        self.hierarchy.unified().map(|mount| Home::Unified(mount).directory(&self.path))
    }
}

fn make(
    hierarchy: &Arc<Hierarchy>,
    path: &CgroupPath,
    plan: &Plan,
) -> Result<(Cgroup, Vec<Unenforced>), CgroupError> {
    let group = Cgroup { hierarchy: Arc::clone(hierarchy), path: path.clone() };
    let directories = group.directories();
    if make_new(&directories)?
        && let Ok(Some(warnings)) = apply_to_new(plan, &directories)
    {
        return Ok((group, warnings));
    }
    // A group above may be missing or have no CPUs yet, something of the name may be left, or a limit is refused.
    group.remove()?;
    match apply(plan) {
        Ok(warnings) => Ok((group, warnings)),
        Err(error) => {
            // The first error is the one to tell.
            let _ = group.remove();
            Err(error)
        }
    }
}

/// Makes the directories where, as most often, those above are there and nothing of the name is. False where not: some
/// may have been made.
fn make_new(directories: &[PathBuf]) -> Result<bool, CgroupError> {
    for dir in directories {
        match fs::create_dir(dir) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {
                return Ok(false);
            }
            Err(source) => return Err(CgroupError::Make { dir: dir.clone(), source }),
        }
    }
    Ok(true)
}

enum Freezer {
    Unified(PathBuf),
    V1(PathBuf),
}

fn failed(action: &'static str, file: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let file = file.to_owned();
    move |source| CgroupError::File { action, file, source }
}

struct Thaw;

impl Visitor for Thaw {
    fn enter(&mut self, group: BorrowedFd<'_>) -> io::Result<()> {
        let opened = openat(group, c"freezer.state", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let Some(file) = gone_is_none(opened.map_err(io::Error::from))? else { return Ok(()) };
        gone_is_none(rustix::io::write(file, b"THAWED").map_err(io::Error::from)).map(drop)
    }
}

/// The processes of one directory and all below it; none when it is not there.
pub(super) fn pids_below(dir: &Path) -> Result<BTreeSet<i32>, CgroupError> {
    let mut pids = Pids::default();
    walk(dir, &mut pids).map_err(failed("read the processes of", dir))?;
    Ok(pids.0)
}

#[derive(Default)]
struct Pids(BTreeSet<i32>);

impl Visitor for Pids {
    fn enter(&mut self, group: BorrowedFd<'_>) -> io::Result<()> {
        let text = match read_at(group, c"cgroup.procs") {
            // A threaded group lists threads alone; their processes are those of a group above it.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => None,
            text => text?,
        };
        // 0 stands for a process outside our PID namespace.
        let pids = text.iter().flat_map(|text| text.lines()).filter_map(|pid| pid.parse::<i32>().ok());
        self.0.extend(pids.filter(|pid| *pid > 0));
        Ok(())
    }
}
