//! Which control-group hierarchies this host has, and where this process is in each.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::mountinfo::Mount;
use super::{Anchor, CgroupError, CgroupPath};

/// A resource controller, by the name version 1 has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    Cpu,
    Cpuacct,
    Cpuset,
    Memory,
    Pids,
    Blkio,
    Devices,
    Freezer,
    Hugetlb,
}

/// Where the controllers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One version 2 tree with all controllers.
    Unified,
    /// Version 1 controllers, and a version 2 tree that holds identity (and perhaps a few controllers).
    Hybrid,
    /// Version 1 only.
    Legacy,
}

/// One mounted version 1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V1Mount {
    /// Empty for systemd's named hierarchy, which only holds identity.
    pub controllers: BTreeSet<Controller>,
    pub mount_point: PathBuf,
    /// The directory of the group this process is in.
    pub own: PathBuf,
}

/// The mounted version 2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnifiedMount {
    pub mount_point: PathBuf,
    /// What `cgroup.controllers` of the mount point offers, in version 2's names.
    pub controllers: BTreeSet<String>,
    /// The directory of the group this process is in, and what is delegated to it.
    pub own: PathBuf,
    pub own_controllers: BTreeSet<String>,
}

/// All hierarchies that are of use to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    v1: Vec<V1Mount>,
    unified: Option<UnifiedMount>,
}

/// The hierarchy that has a controller, which decides the dialect spoken to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home<'a> {
    V1(&'a V1Mount),
    Unified(&'a UnifiedMount),
}

impl Hierarchy {
    /// Reads the mounts and groups of this process.
    pub fn detect() -> Result<Hierarchy, CgroupError> {
        let read = |file: &str| {
            std::fs::read_to_string(file).map_err(|source| CgroupError::Detect { file: file.into(), source })
        };
        let controllers = |dir: &Path| {
            let file = dir.join("cgroup.controllers");
            std::fs::read_to_string(&file).map_err(|source| CgroupError::Detect { file, source })
        };
        Hierarchy::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?, controllers)
    }

    /// [`Hierarchy::detect`] upon given texts. `controllers` reads `cgroup.controllers` of a directory.
    pub fn parse(
        mountinfo: &str,
        own: &str,
        controllers: impl Fn(&Path) -> Result<String, CgroupError>,
    ) -> Result<Hierarchy, CgroupError> {
        let mut hierarchy = Hierarchy { v1: Vec::new(), unified: None };
        for mount in mountinfo.lines().filter_map(Mount::parse) {
            match mount.kind {
                "cgroup2" if hierarchy.unified.is_none() => {
                    let own = mount.locate(own_path(own, ""));
                    hierarchy.unified = Some(UnifiedMount {
                        controllers: words(&controllers(&mount.mount_point)?),
                        own_controllers: words(&controllers(&own)?),
                        own,
                        mount_point: mount.mount_point,
                    });
                }
                "cgroup" => hierarchy.add_v1(mount, own),
                _ => {}
            }
        }
        if hierarchy.v1.is_empty() && hierarchy.unified.is_none() {
            return Err(CgroupError::NoHierarchy);
        }
        Ok(hierarchy)
    }

    fn add_v1(&mut self, mount: Mount<'_>, own: &str) {
        let controllers: BTreeSet<Controller> =
            mount.options.split(',').filter_map(Controller::from_v1_name).collect();
        let named = mount.options.split(',').any(|option| option == SYSTEMD);
        let known = self.v1.iter().any(|other| {
            other.controllers == controllers // the same hierarchy, mounted a second time
        });
        if known || (controllers.is_empty() && !named) {
            return;
        }
        let name = match controllers.first() {
            Some(controller) => controller.v1_name(),
            None => SYSTEMD,
        };
        self.v1.push(V1Mount {
            own: mount.locate(own_path(own, name)),
            controllers,
            mount_point: mount.mount_point,
        });
    }

    /// Which of the three arrangements this is.
    pub fn layout(&self) -> Layout {
        let limits_in_v1 = self.v1.iter().any(|mount| !mount.controllers.is_empty());
        match (&self.unified, limits_in_v1) {
            (Some(_), false) => Layout::Unified,
            (Some(_), true) => Layout::Hybrid,
            (None, _) => Layout::Legacy,
        }
    }

    pub fn v1(&self) -> &[V1Mount] {
        &self.v1
    }

    pub fn unified(&self) -> Option<&UnifiedMount> {
        self.unified.as_ref()
    }

    /// Where a controller is for groups below the anchor, if anywhere.
    pub fn home(&self, controller: Controller, anchor: Anchor) -> Option<Home<'_>> {
        let v1 = self.v1.iter().find(|mount| mount.controllers.contains(&controller));
        let unified = || {
            let unified = self.unified.as_ref()?;
            let name = controller.unified_name();
            // Freezing and device filters are properties of every group, not controllers to enable.
            let there = name.is_none_or(|name| unified.offered(anchor).contains(name));
            there.then_some(Home::Unified(unified))
        };
        v1.map(Home::V1).or_else(unified)
    }

    /// The group's directory in every hierarchy, the unified one last.
    pub fn directories(&self, path: &CgroupPath) -> Vec<PathBuf> {
        let v1 = self.v1.iter().map(|mount| Home::V1(mount).directory(path));
        v1.chain(self.unified.iter().map(|mount| Home::Unified(mount).directory(path))).collect()
    }
}

impl V1Mount {
    /// Whether groups of this hierarchy limit anything. Freezing and counting time bound nothing.
    pub(super) fn bounds(&self) -> bool {
        let counts_only =
            |controller: &Controller| matches!(controller, Controller::Cpuacct | Controller::Freezer);
        !self.controllers.iter().all(counts_only)
    }
}

impl UnifiedMount {
    /// The controllers that groups below the anchor may have.
    pub fn offered(&self, anchor: Anchor) -> &BTreeSet<String> {
        match anchor {
            Anchor::Root => &self.controllers,
            Anchor::Own => &self.own_controllers,
        }
    }
}

impl<'a> Home<'a> {
    /// The directory that paths of this anchor start from.
    pub fn base(self, anchor: Anchor) -> &'a Path {
        match (self, anchor) {
            (Home::V1(mount), Anchor::Root) => &mount.mount_point,
            (Home::V1(mount), Anchor::Own) => &mount.own,
            (Home::Unified(mount), Anchor::Root) => &mount.mount_point,
            (Home::Unified(mount), Anchor::Own) => &mount.own,
        }
    }

    /// The directory of a group in this hierarchy.
    pub fn directory(self, path: &CgroupPath) -> PathBuf {
        self.base(path.anchor()).join(path.as_path())
    }
}

const SYSTEMD: &str = "name=systemd";

impl Controller {
    const V1_NAMES: [(Controller, &'static str); 9] = [
        (Controller::Cpu, "cpu"),
        (Controller::Cpuacct, "cpuacct"),
        (Controller::Cpuset, "cpuset"),
        (Controller::Memory, "memory"),
        (Controller::Pids, "pids"),
        (Controller::Blkio, "blkio"),
        (Controller::Devices, "devices"),
        (Controller::Freezer, "freezer"),
        (Controller::Hugetlb, "hugetlb"),
    ];

    fn from_v1_name(name: &str) -> Option<Controller> {
        Controller::V1_NAMES.iter().find(|(_, known)| *known == name).map(|(controller, _)| *controller)
    }

    pub(super) fn from_unified_name(name: &str) -> Option<Controller> {
        let all = Controller::V1_NAMES.iter().map(|(controller, _)| *controller);
        all.into_iter().find(|controller| controller.unified_name() == Some(name))
    }

    pub fn v1_name(self) -> &'static str {
        Controller::V1_NAMES.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }

    /// The name in `cgroup.controllers`; `None` where version 2 has the function without a controller.
    pub fn unified_name(self) -> Option<&'static str> {
        match self {
            Controller::Cpu => Some("cpu"),
            Controller::Cpuset => Some("cpuset"),
            Controller::Memory => Some("memory"),
            Controller::Pids => Some("pids"),
            Controller::Blkio => Some("io"),
            Controller::Hugetlb => Some("hugetlb"),
            Controller::Cpuacct | Controller::Devices | Controller::Freezer => None,
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.v1_name())
    }
}

/// The path of the line of /proc/self/cgroup whose controller list has `name`; version 2's list is empty.
fn own_path<'a>(own: &'a str, name: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (names, path) = (parts.next()?, parts.next()?);
        names.split(',').any(|one| one == name).then_some(path)
    })
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
