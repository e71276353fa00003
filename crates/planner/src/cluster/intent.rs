//! What people ask for, applied to what is wanted: `up`, `down`, `stop`, `start`, `restart` as pure functions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use hoist_model::{
    HostId, HostReport, InstanceReport, InstanceUid, Intent, Phase, Removal, ResolvedImage, Revision,
    RunIntent, ServiceName, Stack, StackId, StackRevision, WallTime, WantedStack,
};

use super::template::define;
use super::{Refusal, RefusalKind};
use crate::graph::{self, Dependencies};

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

/// A file as `up` hands it over, its images settled.
#[derive(Debug, Clone)]
pub struct Put {
    /// The lowered stack.
    pub stack: Stack,
    /// The images of the services that `up` moves, at least.
    pub images: BTreeMap<ServiceName, ResolvedImage>,
    /// The folder of the stack file.
    pub project_dir: PathBuf,
    /// The stack files.
    pub files: Vec<PathBuf>,
    /// Now.
    pub created: WallTime,
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

/// What hosts said last.
pub type View = BTreeMap<HostId, HostReport>;

/// The services that an `up` moves: all, or the named ones with what they depend on.
///
/// # Errors
/// A service that the file doesn't have.
pub fn moved(stack: &Stack, options: &UpOptions) -> Result<BTreeSet<ServiceName>, Refusal> {
    let named = options.services.iter().chain(options.scale.keys());
    if let Some(unknown) = named.into_iter().find(|name| !stack.services.contains_key(*name)) {
        return Err(no_such_service(&stack.id, unknown));
    }
    if options.services.is_empty() {
        return Ok(stack.services.keys().cloned().collect());
    }
    if options.no_deps {
        return Ok(options.services.iter().cloned().collect());
    }
    let reached = Dependencies::of(stack).with_dependencies(options.services.iter().map(ServiceName::as_str));
    Ok(graph::names(&reached, stack))
}

/// `up`: a new revision unless file and images are those of the newest, and the moved services at that revision.
///
/// # Errors
/// A service that the file doesn't have.
pub fn up(
    current: Option<&WantedStack>,
    put: Put,
    options: &UpOptions,
    view: &View,
) -> Result<Applied, Refusal> {
    let services = moved(&put.stack, options)?;
    let id = put.stack.id.clone();
    let before = current.cloned();
    let mut wanted = with_revision(current, put, &services);
    let number = newest(&wanted);
    for name in &services {
        let intent =
            up_one(before.as_ref().and_then(|before| before.intents.get(name)), &id, name, options, view);
        wanted.intents.insert(name.clone(), Intent { revision: number, ..intent });
    }
    let warnings = orphans(&mut wanted, number, options.remove_orphans);
    let retired = if options.force_recreate {
        instances_of(view, &id, &named(options, &services))
    } else {
        BTreeSet::new()
    };
    let changed = changed(before.as_ref(), &wanted, &services, options.force_recreate);
    let mut services = services;
    services.extend(travel(&mut wanted, &changed));
    wanted.removal = None;
    prune(&mut wanted);
    Ok(Applied { wanted, services, retired, warnings })
}

/// `--force-recreate` is about the services that were named, not about what they depend on.
fn named(options: &UpOptions, moved: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
    if options.services.is_empty() { moved.clone() } else { options.services.iter().cloned().collect() }
}

fn with_revision(current: Option<&WantedStack>, put: Put, services: &BTreeSet<ServiceName>) -> WantedStack {
    let Put { stack, images, project_dir, files, created } = put;
    let mut wanted = match current {
        Some(current) => WantedStack { project_dir, files, ..current.clone() },
        None => WantedStack {
            revisions: BTreeMap::new(),
            intents: BTreeMap::new(),
            project_dir,
            files,
            removal: None,
        },
    };
    let last = wanted.revisions.last_key_value().map(|(_, revision)| Arc::clone(revision));
    let same = last.as_ref().is_some_and(|last| {
        last.stack == stack && services.iter().all(|name| last.images.get(name) == images.get(name))
    });
    if !same {
        let number = Revision(last.as_ref().map_or(0, |last| last.number.0) + 1);
        let images = settled(last.as_deref(), &stack, images);
        wanted.revisions.insert(number, Arc::new(StackRevision { number, stack, images, created }));
    }
    wanted
}

/// The images given, and for services that don't move the ones known where the source is still the same.
fn settled(
    last: Option<&StackRevision>,
    stack: &Stack,
    mut images: BTreeMap<ServiceName, ResolvedImage>,
) -> BTreeMap<ServiceName, ResolvedImage> {
    for (name, image) in last.into_iter().flat_map(|last| &last.images) {
        let same = stack.services.get(name).is_some_and(|service| service.image == image.source);
        if same {
            images.entry(name.clone()).or_insert_with(|| image.clone());
        }
    }
    images
}

fn newest(wanted: &WantedStack) -> Revision {
    wanted.revisions.last_key_value().map_or(Revision(0), |(number, _)| *number)
}

/// `up` starts what exited, once; what runs stays.
fn up_one(
    before: Option<&Intent>,
    stack: &StackId,
    name: &ServiceName,
    options: &UpOptions,
    view: &View,
) -> Intent {
    let fresh = Intent {
        revision: Revision(0),
        run: RunIntent::Absent,
        replicas: None,
        restart_nonce: 0,
        start_nonce: 0,
    };
    let before = before.unwrap_or(&fresh);
    let replicas = options.scale.get(name).copied();
    if options.no_start && before.run != RunIntent::Running {
        return Intent { run: RunIntent::Stopped { epoch: epoch(view) }, replicas, ..before.clone() };
    }
    let was_stopped = matches!(before.run, RunIntent::Stopped { .. });
    let start = !options.no_start && (was_stopped || has_ended(view, stack, name));
    let start_nonce = before.start_nonce + u64::from(start);
    Intent { run: RunIntent::Running, replicas, start_nonce, ..before.clone() }
}

/// Services that left the file keep their last revision, unless they are to go.
fn orphans(wanted: &mut WantedStack, number: Revision, remove: bool) -> Vec<String> {
    let Some(revision) = wanted.revisions.get(&number) else { return Vec::new() };
    let mut left = Vec::new();
    for (name, intent) in &mut wanted.intents {
        if revision.stack.services.contains_key(name) || intent.run == RunIntent::Absent {
            continue;
        }
        if remove {
            intent.run = RunIntent::Absent;
        } else {
            left.push(name.to_string());
        }
    }
    if left.is_empty() {
        return left;
    }
    vec![format!("{} left the file and stays as it is; `--remove-orphans` removes it", left.join(", "))]
}

/// The moved services whose instances will be made anew.
fn changed(
    before: Option<&WantedStack>,
    after: &WantedStack,
    services: &BTreeSet<ServiceName>,
    forced: bool,
) -> BTreeSet<ServiceName> {
    let Some(before) = before else { return BTreeSet::new() };
    let hash = |wanted: &WantedStack, name: &ServiceName| {
        let revision = wanted.revisions.get(&wanted.intents.get(name)?.revision)?;
        Some(define(wanted, revision, name)?.hash)
    };
    let known = services.iter().filter(|name| before.intents.contains_key(*name));
    known.filter(|name| forced || hash(before, name) != hash(after, name)).cloned().collect()
}

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
        let stopped = intent.run != RunIntent::Running;
        intent.start_nonce += u64::from(stopped || has_ended(view, id, name));
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
    let mut applied = each(current, id, services, |_, intent| {
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
fn travel(wanted: &mut WantedStack, from: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
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

/// Revisions that no intent names are dropped, but never the newest.
fn prune(wanted: &mut WantedStack) {
    let newest = newest(wanted);
    let named: BTreeSet<Revision> = wanted.intents.values().map(|intent| intent.revision).collect();
    wanted.revisions.retain(|number, _| *number == newest || named.contains(number));
}

fn reports<'a>(
    view: &'a View,
    stack: &'a StackId,
) -> impl Iterator<Item = (InstanceUid, &'a InstanceReport)> {
    let all = view.values().flat_map(|report| &report.instances);
    all.filter(move |(_, instance)| instance.slot.stack == *stack).map(|(uid, instance)| (*uid, instance))
}

fn has_ended(view: &View, stack: &StackId, service: &ServiceName) -> bool {
    reports(view, stack).any(|(_, instance)| {
        instance.slot.service == *service && matches!(instance.phase, Phase::Exited | Phase::Failed(_))
    })
}

fn instances_of(view: &View, stack: &StackId, services: &BTreeSet<ServiceName>) -> BTreeSet<InstanceUid> {
    reports(view, stack).filter(|(_, i)| services.contains(&i.slot.service)).map(|(uid, _)| uid).collect()
}

fn epoch(view: &View) -> u64 {
    view.values().map(|report| report.epoch).max().unwrap_or(0)
}

fn no_such_service(stack: &StackId, name: &ServiceName) -> Refusal {
    Refusal {
        kind: RefusalKind::NotFound,
        message: format!("stack {stack} has no service {name}"),
        hint: None,
    }
}
