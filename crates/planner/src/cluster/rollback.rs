//! Takes a stack back to an earlier revision, as a whole: each service to where it stood when that one was the newest.
//!
//! Going back makes a new revision with the old one's content, so numbers only rise and history tells it in order. What
//! happens then is what `up` does with the same content, except that nothing is read and no image is pulled: file, content
//! of configs and secrets, and images' digests are the revision's.

use std::collections::BTreeSet;
use std::sync::Arc;

use hoist_model::{
    Intent, Revision, RevisionVerdict, RunIntent, ServiceName, StackId, StackRevision, WantedStack,
};

use super::changes;
use super::history::{self, Asked};
use super::intent::{Applied, View, is_done_once, is_done_step, travel};
use super::up::{UpOptions, changed, newest, removed, up_one};
use super::{Refusal, RefusalKind};

/// The last revision that succeeded before the one that is in force, and differs from it. One that went back stands for
/// the one that it went back to: going back twice goes two steps.
#[must_use]
pub fn last_good(current: &WantedStack) -> Option<Revision> {
    let present = newest(current);
    let content = current.revisions.get(&present)?;
    let from = current.history.get(&present).and_then(|entry| entry.of).unwrap_or(present);
    let good = |number: &&Revision| {
        let entry = current.history.get(*number);
        entry.is_some_and(|entry| entry.verdict == RevisionVerdict::Succeeded)
    };
    let earlier = current.revisions.range(..from).rev().filter(|(_, one)| !same(one, content));
    earlier.map(|(number, _)| number).find(good).copied()
}

/// `rollback`: to `to`, or to [`last_good`]. `why` is what was wrong with the present revision, where something was.
///
/// # Errors
/// A revision that isn't there, or none that succeeded.
pub fn rollback(
    current: &WantedStack,
    id: &StackId,
    to: Option<Revision>,
    why: Option<String>,
    asked: Asked,
    view: &View,
) -> Result<Applied, Refusal> {
    let (target, content) = target(current, id, to)?;
    let stood = current.history.get(&target).cloned().unwrap_or_default();
    let mut wanted = current.clone();
    let number = put_back(&mut wanted, &content, &asked);
    let mut services = BTreeSet::new();
    let settled = content.stack.services.keys().filter(|name| content.images.contains_key(*name));
    for name in settled.filter(|name| !stood.elsewhere.contains_key(*name) && !stood.without.contains(*name))
    {
        set(&mut wanted, id, name, number, view);
        services.insert(name.clone());
    }
    for (name, revision) in stood.elsewhere.iter().filter(|(_, at)| current.revisions.contains_key(*at)) {
        set(&mut wanted, id, name, *revision, view);
        services.insert(name.clone());
    }
    for (name, intent) in &mut wanted.intents {
        intent.replicas = stood.scale.get(name).copied();
        if !services.contains(name) {
            intent.run = RunIntent::Absent;
        }
    }
    let replaced = changed(Some(current), &wanted, &services, false);
    services.extend(travel(&mut wanted, &replaced));
    services.extend(removed(Some(current), &wanted));
    wanted.removal = None;
    wanted.stop_grace = None;
    tell(current, &mut wanted, stood.of.unwrap_or(target), why);
    history::note(Some(current), &mut wanted, asked);
    if number != newest(current)
        && let Some(entry) = wanted.history.get_mut(&number)
    {
        entry.of = Some(stood.of.unwrap_or(target));
    }
    history::prune(&mut wanted);
    Ok(Applied { wanted, services, retired: BTreeSet::new(), warnings: Vec::new() })
}

/// What a rollback would do: the revision that it would go back to, and what it would change in a few words each.
///
/// # Errors
/// As [`rollback`].
pub fn foresee(
    current: &WantedStack,
    id: &StackId,
    to: Option<Revision>,
    view: &View,
) -> Result<(Revision, Vec<String>), Refusal> {
    let (number, _) = target(current, id, to)?;
    let applied = rollback(current, id, Some(number), None, Asked::default(), view)?;
    Ok((number, changes::between(Some(current), &applied.wanted)))
}

fn target(
    current: &WantedStack,
    id: &StackId,
    to: Option<Revision>,
) -> Result<(Revision, Arc<StackRevision>), Refusal> {
    let number = to.or_else(|| last_good(current)).ok_or_else(|| Refusal {
        kind: RefusalKind::NotFound,
        message: format!(
            "stack {id} has no earlier revision that succeeded and differs from the present one"
        ),
        hint: Some(there(current)),
    })?;
    content(current, id, Some(number)).map(|content| (number, Arc::clone(content)))
}

/// What a revision holds; the newest when none is named.
///
/// # Errors
/// A revision that isn't there; the error says which are.
pub fn content<'a>(
    current: &'a WantedStack,
    id: &StackId,
    number: Option<Revision>,
) -> Result<&'a Arc<StackRevision>, Refusal> {
    let number = number.unwrap_or_else(|| newest(current));
    current.revisions.get(&number).ok_or_else(|| Refusal {
        kind: RefusalKind::NotFound,
        message: match current.history.contains_key(&number) {
            true => format!("revision {} of stack {id} is no longer kept", number.0),
            false => format!("stack {id} has no revision {}", number.0),
        },
        hint: Some(there(current)),
    })
}

fn there(current: &WantedStack) -> String {
    let numbers: Vec<String> = current.revisions.keys().map(|number| number.0.to_string()).collect();
    format!(
        "there are {}; `hoist history` tells of each, and `hoist rollback N` goes back to N",
        numbers.join(", ")
    )
}

/// Makes the content the newest revision, unless it is already.
fn put_back(wanted: &mut WantedStack, content: &StackRevision, asked: &Asked) -> Revision {
    let present = newest(wanted);
    if wanted.revisions.get(&present).is_some_and(|newest| same(newest, content)) {
        return present;
    }
    let number = history::next(wanted);
    let revision = StackRevision { number, created: asked.created, ..content.clone() };
    wanted.revisions.insert(number, Arc::new(revision));
    number
}

fn same(one: &StackRevision, other: &StackRevision) -> bool {
    one.stack == other.stack && one.images == other.images
}

/// Moves a service as `up` does; what a person stopped stays stopped.
fn set(wanted: &mut WantedStack, id: &StackId, name: &ServiceName, revision: Revision, view: &View) {
    let before = wanted.intents.get(name);
    let stopped = before.map(|before| before.run).filter(|run| matches!(run, RunIntent::Stopped { .. }));
    let done = is_done_once(wanted, revision, name, view) || is_done_step(wanted, revision, name, view);
    let moved = up_one(before, id, name, &UpOptions::default(), view, done);
    let start_nonce =
        if stopped.is_some() { before.map_or(0, |before| before.start_nonce) } else { moved.start_nonce };
    let intent = Intent { revision, run: stopped.unwrap_or(moved.run), start_nonce, ..moved };
    wanted.intents.insert(name.clone(), intent);
}

/// What the revision that was left is told to have come to. One that had succeeded stays so.
fn tell(current: &WantedStack, wanted: &mut WantedStack, to: Revision, why: Option<String>) {
    let present = newest(current);
    if newest(wanted) == present {
        return;
    }
    let Some(entry) = wanted.history.get_mut(&present) else { return };
    let known = match &entry.verdict {
        RevisionVerdict::Failed { why } => Some(why.clone()),
        RevisionVerdict::UnderWay | RevisionVerdict::Superseded { .. } => None,
        RevisionVerdict::Succeeded if why.is_some() => None,
        RevisionVerdict::Succeeded | RevisionVerdict::RolledBack { .. } => return,
    };
    entry.verdict = RevisionVerdict::RolledBack { to, why: why.or(known) };
}
