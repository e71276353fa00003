//! Which step is done when: as soon as all it depends on is there, on a few threads.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use super::snapshot::Snapshot;
use super::{BuildError, BuildEvent, StepError, Work, step};
use crate::builder::graph::{Action, MountKind, Source, Step, StepId, Tree};
use crate::parallel;

/// Steps mostly wait, for commands or for files: a few more than processors may be under way.
const MORE: usize = 2;

#[derive(Default)]
struct State {
    done: Vec<Option<Snapshot>>,
    taken: BTreeSet<usize>,
    failure: Option<BuildError>,
}

/// Performs all steps; their snapshots, in order.
pub(super) fn perform(work: &Work<'_>) -> Result<Vec<Snapshot>, BuildError> {
    let steps = &work.graph.steps;
    let state = Mutex::new(State { done: vec![None; steps.len()], ..State::default() });
    let (needs, change) = (steps.iter().map(needs).collect::<Vec<_>>(), Condvar::new());
    let threads = (parallel::processors() + MORE).min(steps.len());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| labour(work, &needs, &state, &change));
        }
    });
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.failure {
        Some(failure) => Err(failure),
        None => state.done.into_iter().collect::<Option<_>>().ok_or(BuildError::Cancelled),
    }
}

fn labour(work: &Work<'_>, needs: &[BTreeSet<usize>], state: &Mutex<State>, change: &Condvar) {
    let mut held = state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if held.failure.is_some() || held.taken.len() == needs.len() {
            change.notify_all();
            return;
        }
        let ready = (0..needs.len())
            .find(|at| !held.taken.contains(at) && needs[*at].iter().all(|need| held.done[*need].is_some()));
        let Some(at) = ready else {
            held = change.wait(held).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        held.taken.insert(at);
        let below: Vec<(usize, Snapshot)> =
            needs[at].iter().filter_map(|need| Some((*need, held.done[*need].clone()?))).collect();
        drop(held);
        let done = one(work, at, &below);
        held = state.lock().unwrap_or_else(PoisonError::into_inner);
        match done {
            Ok(snapshot) => held.done[at] = Some(snapshot),
            Err(failure) => {
                work.failed.store(true, Ordering::Relaxed);
                held.failure.get_or_insert(failure);
            }
        }
        change.notify_all();
    }
}

fn one(work: &Work<'_>, at: usize, below: &[(usize, Snapshot)]) -> Result<Snapshot, BuildError> {
    let (id, step, progress) = (StepId(at), &work.graph.steps[at], work.build.progress);
    if work.is_cancelled() {
        return Err(BuildError::Cancelled);
    }
    if !work.is_told(id) {
        progress.event(BuildEvent::Started(id));
    }
    match step::perform(work, id, below) {
        Ok(snapshot) => Ok(work.tell(id, snapshot)),
        Err(StepError::Lost(layer)) => Err(BuildError::Lost(layer)),
        Err(StepError::Cancelled) => Err(BuildError::Cancelled),
        Err(source) => {
            progress.event(BuildEvent::Failed(id));
            Err(BuildError::Step { title: step.title.clone(), line: step.line, source: Box::new(source) })
        }
    }
}

/// The steps that a step depends on.
fn needs(step: &Step) -> BTreeSet<usize> {
    trees(step)
        .into_iter()
        .filter_map(|tree| if let Tree::Step(id) = tree { Some(id.0) } else { None })
        .collect()
}

/// The trees that a step starts from and reads, the base first.
fn trees(step: &Step) -> Vec<&Tree> {
    let mut trees = vec![&step.base];
    match &step.action {
        Action::Run(run) => trees.extend(run.mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Bind { from, .. } | MountKind::Cache { from, .. } => Some(from),
            MountKind::Tmpfs { .. } | MountKind::Secret { .. } | MountKind::Ssh { .. } => None,
        })),
        Action::Copy(copy) => trees.extend(copy.sources.iter().filter_map(|source| match source {
            Source::Files { from, .. } => Some(from),
            Source::Inline { .. } | Source::Http { .. } | Source::Git { .. } => None,
        })),
        Action::Folder { .. } => {}
    }
    trees
}
