//! `up`, applied to what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use hoist_model::{
    Author, Intent, PullPolicy, ResolvedImage, Revision, RunIntent, ServiceName, Stack, StackId,
    StackRevision, WallTime, WantedStack,
};
use serde::Serialize;

use super::history::{self, Asked};
use super::intent::{
    Applied, View, epoch, has_ended, has_failed, instances_of, is_done_once, is_done_step, no_such_service,
    travel,
};
use super::template::define;
use super::{Refusal, guards};
use crate::graph::{self, Dependencies};

/// The options of `up`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
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
    /// Recreate what runs with the guards of an earlier release.
    pub refresh_guards: bool,
    /// New instances don't take over anonymous volumes.
    pub renew_volumes: bool,
    /// Make, don't start.
    pub no_start: bool,
    /// The verdict waits for health and completion.
    pub wait: bool,
    /// How all images are settled, instead of as each service says.
    pub pull: Option<PullPolicy>,
}

impl UpOptions {
    /// The command that has these options, as history tells it.
    pub(super) fn command(&self) -> String {
        let flags = [
            (self.no_deps, "--no-deps"),
            (self.remove_orphans, "--remove-orphans"),
            (self.force_recreate, "--force-recreate"),
            (self.refresh_guards, "--refresh-guards"),
            (self.renew_volumes, "--renew-anon-volumes"),
            (self.no_start, "--no-start"),
        ];
        let mut words = vec!["up".to_owned()];
        words.extend(self.services.iter().map(ToString::to_string));
        words.extend(flags.iter().filter(|(given, _)| *given).map(|(_, flag)| (*flag).to_owned()));
        words.extend(self.scale.iter().map(|(service, count)| format!("--scale {service}={count}")));
        words.extend(self.pull.map(|_| "--pull".to_owned()));
        words.join(" ")
    }
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
    /// Who asked.
    pub by: Author,
}

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
    let asked = Asked { created: put.created, by: put.by.clone(), command: options.command() };
    let before = current.cloned();
    let mut wanted = with_revision(current, put, &services);
    let number = newest(&wanted);
    for name in &services {
        let known = before.as_ref().and_then(|before| before.intents.get(name));
        // Who names it wants it to run.
        let once = !options.services.contains(name) && is_done_once(&wanted, number, name, view);
        let done = once || is_done_step(&wanted, number, name, view);
        let intent = up_one(known, &id, name, options, view, done);
        wanted.intents.insert(name.clone(), Intent { revision: number, ..intent });
    }
    let mut warnings = orphans(&mut wanted, number, options.remove_orphans);
    let mut replaced = changed(before.as_ref(), &wanted, &services, options.force_recreate);
    let older = guards::older(view, &id, &services);
    let mut retired = BTreeSet::new();
    if options.force_recreate {
        retired.extend(instances_of(view, &id, &named(options, &services)));
    } else if options.refresh_guards {
        retired.extend(older.keys());
        replaced.extend(older.values().map(|slot| slot.service.clone()));
    } else {
        warnings.extend(guards::notice(&older, &replaced));
    }
    let mut services = services;
    services.extend(travel(&mut wanted, &replaced));
    // Who asks for orphans to go hears the verdict when they have gone.
    services.extend(removed(before.as_ref(), &wanted));
    wanted.removal = None;
    wanted.stop_grace = None;
    history::note(before.as_ref(), &mut wanted, asked);
    history::prune(&mut wanted);
    Ok(Applied { wanted, services, retired, warnings })
}

/// `--force-recreate` is about the services that were named, not about what they depend on.
fn named(options: &UpOptions, moved: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
    if options.services.is_empty() { moved.clone() } else { options.services.iter().cloned().collect() }
}

fn with_revision(current: Option<&WantedStack>, put: Put, services: &BTreeSet<ServiceName>) -> WantedStack {
    let Put { stack, images, project_dir, files, created, by: _ } = put;
    let mut wanted = match current {
        Some(current) => WantedStack { project_dir, files, ..current.clone() },
        None => WantedStack { project_dir, files, ..WantedStack::default() },
    };
    let last = wanted.revisions.last_key_value().map(|(_, revision)| Arc::clone(revision));
    let same = last.as_ref().is_some_and(|last| {
        last.stack == stack && services.iter().all(|name| last.images.get(name) == images.get(name))
    });
    if !same {
        let number = history::next(&wanted);
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

pub(super) fn newest(wanted: &WantedStack) -> Revision {
    wanted.revisions.last_key_value().map_or(Revision(0), |(number, _)| *number)
}

/// `up` starts what exited, once; what runs stays, and so does what is to run once and is done.
pub(super) fn up_one(
    before: Option<&Intent>,
    stack: &StackId,
    name: &ServiceName,
    options: &UpOptions,
    view: &View,
    done: bool,
) -> Intent {
    let fresh = Intent {
        revision: Revision(0),
        run: RunIntent::Absent,
        replicas: None,
        restart_nonce: 0,
        start_nonce: 0,
        renew_volumes: false,
    };
    let before = before.unwrap_or(&fresh);
    let replicas = options.scale.get(name).copied();
    if options.no_start && before.run != RunIntent::Running {
        let run = RunIntent::Stopped { epoch: epoch(view) };
        return Intent { run, replicas, renew_volumes: options.renew_volumes, ..before.clone() };
    }
    let was_stopped = matches!(before.run, RunIntent::Stopped { .. });
    let again = was_stopped || has_ended(view, stack, name) || has_failed(view, stack, name);
    let start = !options.no_start && again && !done;
    let start_nonce = before.start_nonce + u64::from(start);
    let renew_volumes = options.renew_volumes;
    Intent { run: RunIntent::Running, replicas, start_nonce, renew_volumes, ..before.clone() }
}

/// Services that left the file keep their last revision, unless they are to go.
fn orphans(wanted: &mut WantedStack, number: Revision, remove: bool) -> Vec<String> {
    let Some(revision) = wanted.revisions.get(&number) else { return Vec::new() };
    let mut left = Vec::new();
    for (name, intent) in &mut wanted.intents {
        if revision.stack.services.contains_key(name) || intent.run == RunIntent::Absent {
            continue;
        }
        let before = wanted.revisions.get(&intent.revision);
        let step = before.and_then(|before| before.stack.services.get(name)?.step_of.as_ref());
        if remove || step.is_some_and(|of| revision.stack.services.contains_key(of)) {
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

/// Services that were there before and are to be gone now.
pub(super) fn removed(before: Option<&WantedStack>, wanted: &WantedStack) -> BTreeSet<ServiceName> {
    let absent =
        |name: &&ServiceName| wanted.intents.get(*name).is_none_or(|intent| intent.run == RunIntent::Absent);
    let before = before.into_iter().flat_map(|before| &before.intents);
    before
        .filter(|(_, intent)| intent.run != RunIntent::Absent)
        .map(|(name, _)| name)
        .filter(absent)
        .cloned()
        .collect()
}

/// The moved services whose instances will be made anew.
pub(super) fn changed(
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
