//! From limits to file operations, without touching a file.
//!
//! A limit whose controller is absent is an error when it bounds something (memory, processes, CPU time,
//! devices) and a warning when it only states a preference (shares, weights, swappiness). What only the
//! kernel can tell, a missing file, is decided by the same rule when the plan is applied ([`Need`]).

mod cpu;
mod devices;
mod io;
mod memory;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::op::{Need, Op, Plan};
use super::{CgroupError, CgroupPath, Controller, Hierarchy, Home, INNER, Layout, Limits, Unenforced};

/// The operations that make the group `path` and give it `limits`.
pub fn plan(hierarchy: &Hierarchy, path: &CgroupPath, limits: &Limits) -> Result<Plan, CgroupError> {
    make(Planner { hierarchy, path, level: Level::Alone, plan: Plan::default() }, limits)
}

/// The operations that make the group `path` with `limits`, and a container's own group below it that shows them.
pub fn plan_contained(
    hierarchy: &Hierarchy,
    path: &CgroupPath,
    limits: &Limits,
) -> Result<Plan, CgroupError> {
    let plan = make(Planner { hierarchy, path, level: Level::Outer, plan: Plan::default() }, limits)?;
    // Now that the outer one has its limits, since on version 1 the inner one takes its CPUs and devices from it.
    let mut inner = Planner { hierarchy, path: &path.child(INNER)?, level: Level::Inner, plan };
    inner.make_inner(limits);
    inner.limit(&Limits::default(), limits)?;
    Ok(inner.plan)
}

fn make(mut planner: Planner<'_>, limits: &Limits) -> Result<Plan, CgroupError> {
    planner.make_v1();
    planner.make_unified(limits);
    planner.limit(&Limits::default(), limits)?;
    planner.devices(&limits.devices)?;
    Ok(planner.plan)
}

/// The operations that take an existing group from the limits `from` to those of `to`; what `to` doesn't
/// say stays. Device rules can't be changed this way.
pub fn plan_update(
    hierarchy: &Hierarchy,
    path: &CgroupPath,
    from: &Limits,
    to: &Limits,
) -> Result<Plan, CgroupError> {
    let mut planner = Planner { hierarchy, path, level: Level::Alone, plan: Plan::default() };
    planner.enable_unified(to);
    planner.limit(from, to)?;
    if !to.devices.is_empty() && to.devices != from.devices {
        return Err(CgroupError::Unenforceable(Unenforced {
            key: "devices",
            value: format!("{} rules", to.devices.len()),
            why: "device rules are set once, when the group is made".to_owned(),
        }));
    }
    Ok(planner.plan)
}

struct Planner<'a> {
    hierarchy: &'a Hierarchy,
    path: &'a CgroupPath,
    level: Level,
    plan: Plan,
}

/// Which group of a container's two is planned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// It has no other.
    Alone,
    /// Bounds the container, out of its reach.
    Outer,
    /// The container's own: within its reach where it is root of a user namespace.
    Inner,
}

/// The group's directory in one hierarchy, and how to speak there.
struct Target {
    dialect: Dialect,
    dir: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V1,
    V2,
}

impl Target {
    /// The file called `v1` or `v2`, by dialect.
    fn file(&self, v1: &str, v2: &str) -> PathBuf {
        self.dir.join(if self.dialect == Dialect::V1 { v1 } else { v2 })
    }
}

impl Planner<'_> {
    fn make_v1(&mut self) {
        for mount in self.hierarchy.v1() {
            let base = Home::V1(mount).base(self.path.anchor());
            for level in self.path.levels() {
                let dir = base.join(level);
                self.push(Op::MakeDir { dir: dir.clone() });
                if mount.controllers.contains(&Controller::Cpuset) {
                    self.push(Op::InheritCpuset { dir });
                }
            }
            if self.level == Level::Outer && mount.controllers.contains(&Controller::Memory) {
                self.push(Op::CountBelow { dir: Home::V1(mount).directory(self.path) });
            }
        }
    }

    /// In hierarchies that bound something: what has no limits needs no second group to keep them out of reach.
    fn make_inner(&mut self, limits: &Limits) {
        for mount in self.hierarchy.v1().iter().filter(|mount| mount.bounds()) {
            let dir = Home::V1(mount).directory(self.path);
            self.push(Op::MakeDir { dir: dir.clone() });
            if mount.controllers.contains(&Controller::Cpuset) {
                self.push(Op::InheritCpuset { dir });
            }
        }
        let Some(mount) = self.hierarchy.unified() else { return };
        let limited = |controller: &Controller| {
            matches!(self.hierarchy.home(*controller, self.path.anchor()), Some(Home::Unified(_)))
        };
        // Beside version 1 this tree may offer a controller or two that nothing was asked of.
        if self.hierarchy.layout() == Layout::Unified || controllers(limits).iter().any(limited) {
            let dir = Home::Unified(mount).directory(self.path);
            if let Some(outer) = dir.parent() {
                self.enable(outer, limits);
            }
            self.push(Op::MakeDir { dir });
        }
    }

    fn make_unified(&mut self, limits: &Limits) {
        let Some(mount) = self.hierarchy.unified() else { return };
        let base = Home::Unified(mount).base(self.path.anchor());
        for level in self.path.levels() {
            self.enable(&base.join(level.parent().unwrap_or(Path::new(""))), limits);
            self.push(Op::MakeDir { dir: base.join(level) });
        }
    }

    fn enable_unified(&mut self, limits: &Limits) {
        let Some(mount) = self.hierarchy.unified() else { return };
        let base = Home::Unified(mount).base(self.path.anchor());
        for level in self.path.levels() {
            self.enable(&base.join(level.parent().unwrap_or(Path::new(""))), limits);
        }
    }

    fn enable(&mut self, dir: &Path, limits: &Limits) {
        let home = |controller| self.hierarchy.home(controller, self.path.anchor());
        let here = |controller: &Controller| matches!(home(*controller), Some(Home::Unified(_)));
        let controllers: Vec<&'static str> =
            controllers(limits).into_iter().filter(here).filter_map(Controller::unified_name).collect();
        if !controllers.is_empty() {
            // An empty relative part would leave a trailing slash behind.
            let dir = dir.components().collect();
            self.push(Op::EnableControllers { dir, controllers });
        }
    }

    fn limit(&mut self, from: &Limits, to: &Limits) -> Result<(), CgroupError> {
        self.cpu(&from.cpu, &to.cpu)?;
        self.cpuset(&to.cpu)?;
        self.memory(&from.memory, &to.memory)?;
        self.pids(to)?;
        self.hugepages(to)?;
        self.io(&to.io)?;
        self.verbatim(to)
    }

    fn pids(&mut self, to: &Limits) -> Result<(), CgroupError> {
        let Some(limit) = to.pids else { return Ok(()) };
        let target = self.need(Controller::Pids, "pids.limit", &limit)?;
        self.push(Op::write("pids.limit", target.dir.join("pids.max"), &limit));
        Ok(())
    }

    fn hugepages(&mut self, to: &Limits) -> Result<(), CgroupError> {
        for huge in &to.hugepages {
            let target = self.need(Controller::Hugetlb, "hugepageLimits", &huge.page_size)?;
            let size = &huge.page_size;
            if !size.chars().all(|letter| letter.is_ascii_alphanumeric()) {
                return Err(invalid("hugepageLimits.pageSize", &size, "a size such as 2MB is wanted"));
            }
            let file = target.file(&format!("hugetlb.{size}.limit_in_bytes"), &format!("hugetlb.{size}.max"));
            self.push(Op::write("hugepageLimits", file, &huge.limit));
        }
        Ok(())
    }

    /// Version 2 files by name.
    fn verbatim(&mut self, to: &Limits) -> Result<(), CgroupError> {
        for (name, value) in &to.unified {
            let Some(mount) = self.hierarchy.unified() else {
                return Err(unenforceable("unified", &name, "there is no version 2 hierarchy"));
            };
            if name.contains('/') || !name.contains('.') {
                return Err(invalid("unified", &name, "the name of one file of the group is wanted"));
            }
            // Those of the group itself (its type, its room for others) are no limits to show.
            if self.level == Level::Inner && name.starts_with("cgroup.") {
                continue;
            }
            let file = Home::Unified(mount).directory(self.path).join(name);
            self.push(Op::write("unified", file, value));
        }
        Ok(())
    }

    fn push(&mut self, op: Op) {
        self.plan.ops.push(op);
    }

    fn target(&self, controller: Controller) -> Option<Target> {
        let home = self.hierarchy.home(controller, self.path.anchor())?;
        let dialect = if matches!(home, Home::V1(_)) { Dialect::V1 } else { Dialect::V2 };
        Some(Target { dialect, dir: home.directory(self.path) })
    }

    /// Where a bound is set; without the controller, the error that says so.
    fn need(
        &self,
        controller: Controller,
        key: &'static str,
        value: &dyn fmt::Display,
    ) -> Result<Target, CgroupError> {
        self.target(controller).ok_or_else(|| unenforceable(key, &value, absent(controller)))
    }

    /// Where a preference is set; without the controller, `None` and a warning.
    fn wish(
        &mut self,
        controller: Controller,
        key: &'static str,
        value: &dyn fmt::Display,
    ) -> Option<Target> {
        let target = self.target(controller);
        if target.is_none() {
            self.warn(key, &value, absent(controller));
        }
        target
    }

    fn warn(&mut self, key: &'static str, value: &dyn fmt::Display, why: impl Into<String>) {
        if self.level == Level::Inner {
            return; // The outer group had the same.
        }
        self.plan.warnings.push(Unenforced { key, value: value.to_string(), why: why.into() });
    }
}

/// What to enable on version 2: what is counted for every group, and what the limits need beyond.
fn controllers(limits: &Limits) -> BTreeSet<Controller> {
    let mut wanted =
        BTreeSet::from([Controller::Cpu, Controller::Memory, Controller::Pids, Controller::Blkio]);
    if limits.cpu.cpus.is_some() || limits.cpu.mems.is_some() {
        wanted.insert(Controller::Cpuset);
    }
    if !limits.hugepages.is_empty() {
        wanted.insert(Controller::Hugetlb);
    }
    let named = |name: &String| name.split('.').next().and_then(Controller::from_unified_name);
    wanted.extend(limits.unified.keys().filter_map(named));
    wanted
}

fn absent(controller: Controller) -> String {
    let name = controller.unified_name().unwrap_or(controller.v1_name());
    format!("the {name} controller is in no hierarchy that is mounted here, or was not delegated to us")
}

fn unenforceable(key: &'static str, value: &dyn fmt::Display, why: impl Into<String>) -> CgroupError {
    CgroupError::Unenforceable(Unenforced { key, value: value.to_string(), why: why.into() })
}

fn invalid(key: &'static str, value: &dyn fmt::Display, rule: impl Into<String>) -> CgroupError {
    CgroupError::Invalid { key, value: value.to_string(), rule: rule.into() }
}
