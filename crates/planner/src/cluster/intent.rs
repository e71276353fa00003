//! What people ask for, applied to what is wanted: `up`, `down`, `stop`, `start`, `restart` as pure functions.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{
    Condition, HostId, HostReport, InstanceReport, InstanceUid, Intent, Phase, Removal, Revision, RunIntent,
    ServiceName, StackId, Subject, WantedStack,
};

pub use super::up::{Put, UpOptions, moved, up};
use super::{Refusal, RefusalKind};
use crate::graph::Dependencies;

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

/// What hosts said last.
pub type View = BTreeMap<HostId, HostReport>;

/// `stop`: held until a person starts it, or, with `restart: always`, until the daemon's next start.
///
/// # Errors
/// A service that the stack doesn't have.
pub fn stop(
    current: &WantedStack,
    id: &StackId,
    services: &[ServiceName],
    view: &View,
) -> Result<Applied, Refusal> {
    each(current, id, services, |_, intent| intent.run = RunIntent::Stopped { epoch: epoch(view) })
}

/// `start`: what a person stopped, or what ended.
///
/// # Errors
/// A service that the stack doesn't have.
pub fn start(
    current: &WantedStack,
    id: &StackId,
    services: &[ServiceName],
    view: &View,
) -> Result<Applied, Refusal> {
    each(current, id, services, |name, intent| {
        if is_done_step(current, intent.revision, name, view) {
            intent.run = RunIntent::Running;
            return;
        }
        let stopped = intent.run != RunIntent::Running;
        intent.start_nonce += u64::from(stopped || has_ended(view, id, name) || has_failed(view, id, name));
        intent.run = RunIntent::Running;
    })
}

/// `restart`: each instance stops and starts once; travels along `depends_on.restart`, unless `no_deps`.
///
/// # Errors
/// A service that the stack doesn't have.
pub fn restart(
    current: &WantedStack,
    id: &StackId,
    services: &[ServiceName],
    no_deps: bool,
) -> Result<Applied, Refusal> {
    let mut applied = each(current, id, services, |name, intent| {
        // A restart of everything is none of what has run before it.
        if services.is_empty() && is_step(current, intent.revision, name) {
            return;
        }
        intent.restart_nonce += 1;
        intent.run = RunIntent::Running;
    })?;
    if !no_deps {
        let travelled = travel(&mut applied.wanted, &applied.services);
        applied.services.extend(travelled);
    }
    Ok(applied)
}

/// `down`: the named services, or everything with networks, and volumes if asked.
///
/// # Errors
/// A service that the stack doesn't have.
pub fn down(
    current: &WantedStack,
    id: &StackId,
    services: &[ServiceName],
    volumes: bool,
) -> Result<Applied, Refusal> {
    let mut applied = each(current, id, services, |_, intent| intent.run = RunIntent::Absent)?;
    if services.is_empty() {
        applied.services = current.intents.keys().cloned().collect();
        applied.wanted.removal = Some(Removal { volumes });
    }
    Ok(applied)
}

/// Changes the intents of the named services, or of all that are there.
fn each(
    current: &WantedStack,
    id: &StackId,
    services: &[ServiceName],
    mut change: impl FnMut(&ServiceName, &mut Intent),
) -> Result<Applied, Refusal> {
    let mut wanted = current.clone();
    let there = |name: &ServiceName| current.intents.get(name).is_some_and(|i| i.run != RunIntent::Absent);
    if let Some(unknown) = services.iter().find(|name| !there(name)) {
        return Err(no_such_service(id, unknown));
    }
    let chosen: BTreeSet<ServiceName> = current
        .intents
        .keys()
        .filter(|name| there(name))
        .filter(|name| services.is_empty() || services.contains(name))
        .cloned()
        .collect();
    for name in &chosen {
        if let Some(intent) = wanted.intents.get_mut(name) {
            change(name, intent);
        }
    }
    Ok(Applied { wanted, services: chosen, retired: BTreeSet::new(), warnings: Vec::new() })
}

/// Raises the restart nonce of running services that depend, with `restart: true`, on one of `from`, and of those
/// that depend on them in the same way.
pub(super) fn travel(wanted: &mut WantedStack, from: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
    let edges = restart_edges(wanted);
    let graph = Dependencies::from_edges(edges.iter().map(|(a, b)| (a.as_str(), b.as_str())));
    let reached: BTreeSet<String> =
        graph.with_dependents(from.iter().map(ServiceName::as_str)).into_iter().map(str::to_owned).collect();
    let mut travelled = BTreeSet::new();
    for (name, intent) in &mut wanted.intents {
        if reached.contains(name.as_str()) && !from.contains(name) && intent.run == RunIntent::Running {
            intent.restart_nonce += 1;
            travelled.insert(name.clone());
        }
    }
    travelled
}

fn restart_edges(wanted: &WantedStack) -> Vec<(ServiceName, ServiceName)> {
    let mut edges = Vec::new();
    for (name, intent) in &wanted.intents {
        let revision = wanted.revisions.get(&intent.revision);
        let Some(service) = revision.and_then(|revision| revision.stack.services.get(name)) else { continue };
        let asking = service.depends_on.iter().filter(|(_, dependency)| dependency.restart);
        edges.extend(asking.map(|(to, _)| (name.clone(), to.clone())));
    }
    edges
}

/// Whether a service is a `pre_start` step of another.
fn is_step(wanted: &WantedStack, revision: Revision, name: &ServiceName) -> bool {
    let revision = wanted.revisions.get(&revision);
    revision.and_then(|revision| revision.stack.services.get(name)).is_some_and(|one| one.step_of.is_some())
}

/// Whether it is one that has completed: only another definition makes it run again.
pub(super) fn is_done_step(
    wanted: &WantedStack,
    revision: Revision,
    name: &ServiceName,
    view: &View,
) -> bool {
    is_step(wanted, revision, name) && has_completed(wanted, revision, name, view)
}

/// Whether others of its revision wait for its success, and it has had that: `up` runs it again when its definition has
/// changed, not each time.
pub(super) fn is_done_once(
    wanted: &WantedStack,
    revision: Revision,
    name: &ServiceName,
    view: &View,
) -> bool {
    let services = wanted.revisions.get(&revision).into_iter().flat_map(|one| one.stack.services.values());
    let mut needs = services.filter_map(|service| service.depends_on.get(name));
    needs.any(|need| need.condition == Condition::ServiceCompletedSuccessfully)
        && has_completed(wanted, revision, name, view)
}

fn has_completed(wanted: &WantedStack, revision: Revision, name: &ServiceName, view: &View) -> bool {
    let Some(stack) = wanted.revisions.get(&revision).map(|revision| &revision.stack.id) else {
        return false;
    };
    let mut runs = reports(view, stack).filter(|(_, seen)| seen.slot.service == *name).peekable();
    runs.peek().is_some()
        && runs
            .all(|(_, seen)| seen.phase == Phase::Exited && seen.exit.is_some_and(hoist_model::Exit::success))
}

fn reports<'a>(
    view: &'a View,
    stack: &'a StackId,
) -> impl Iterator<Item = (InstanceUid, &'a InstanceReport)> {
    let all = view.values().flat_map(|report| &report.instances);
    all.filter(move |(_, instance)| instance.slot.stack == *stack).map(|(uid, instance)| (*uid, instance))
}

pub(super) fn has_ended(view: &View, stack: &StackId, service: &ServiceName) -> bool {
    reports(view, stack).any(|(_, instance)| {
        instance.slot.service == *service && matches!(instance.phase, Phase::Exited | Phase::Failed(_))
    })
}

/// Something of the service was given up: asking again means that a person has seen to it.
pub(super) fn has_failed(view: &View, stack: &StackId, service: &ServiceName) -> bool {
    let failures = view.values().flat_map(|report| &report.failures);
    failures.filter(|failure| failure.permanent).any(|failure| match &failure.subject {
        Subject::Service(of, name) => of == stack && name == service,
        Subject::Slot(slot) => slot.stack == *stack && slot.service == *service,
        _ => false,
    })
}

pub(super) fn instances_of(
    view: &View,
    stack: &StackId,
    services: &BTreeSet<ServiceName>,
) -> BTreeSet<InstanceUid> {
    reports(view, stack).filter(|(_, i)| services.contains(&i.slot.service)).map(|(uid, _)| uid).collect()
}

pub(super) fn epoch(view: &View) -> u64 {
    view.values().map(|report| report.epoch).max().unwrap_or(0)
}

pub(super) fn no_such_service(stack: &StackId, name: &ServiceName) -> Refusal {
    Refusal {
        kind: RefusalKind::NotFound,
        message: format!("stack {stack} has no service {name}"),
        hint: None,
    }
}
