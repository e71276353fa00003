//! A stack's history: an entry for each revision, how it ended, and what is kept to go back to.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{
    Author, Failure, HistoryEntry, Outcome, Revision, RevisionVerdict, RunIntent, ServiceName, WallTime,
    WantedStack,
};

use super::changes;
use super::up::newest;

/// Revisions whose content and images are kept: so a person goes back without pulling.
const KEPT: usize = 5;
/// Revisions that history tells of.
const TOLD: usize = 20;

/// Who asked for a revision, when, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// When.
    pub created: WallTime,
    /// Who.
    pub by: Author,
    /// The command, with the options that decide what it does.
    pub command: String,
}

/// Writes down what was asked. A revision that was there before keeps its entry; where it had failed, it is under way
/// again.
pub(super) fn note(before: Option<&WantedStack>, wanted: &mut WantedStack, asked: Asked) {
    let number = newest(wanted);
    for (_, earlier) in wanted.history.range_mut(..number) {
        if earlier.verdict == RevisionVerdict::UnderWay {
            earlier.verdict = RevisionVerdict::Superseded { by: Some(number) };
        }
    }
    if !wanted.history.contains_key(&number) {
        let Asked { created, by, command } = asked;
        let changes = changes::between(before, wanted);
        let entry = HistoryEntry { created, by, command, changes, ..HistoryEntry::default() };
        wanted.history.insert(number, entry);
    }
    let (elsewhere, without, scale) = (elsewhere(wanted, number), without(wanted, number), scale(wanted));
    if let Some(entry) = wanted.history.get_mut(&number) {
        (entry.elsewhere, entry.without, entry.scale) = (elsewhere, without, scale);
        if entry.verdict != RevisionVerdict::Succeeded {
            entry.verdict = RevisionVerdict::UnderWay;
        }
    }
}

type Standing<T> = BTreeMap<ServiceName, T>;

fn elsewhere(wanted: &WantedStack, number: Revision) -> Standing<Revision> {
    let there = wanted.intents.iter().filter(|(_, intent)| intent.run != RunIntent::Absent);
    let other = there.filter(|(_, intent)| intent.revision != number);
    other.map(|(name, intent)| (name.clone(), intent.revision)).collect()
}

fn without(wanted: &WantedStack, number: Revision) -> BTreeSet<ServiceName> {
    let services = wanted.revisions.get(&number).into_iter().flat_map(|one| one.stack.services.keys());
    let unwanted = services
        .filter(|name| wanted.intents.get(*name).is_none_or(|intent| intent.run == RunIntent::Absent));
    unwanted.cloned().collect()
}

fn scale(wanted: &WantedStack) -> Standing<u32> {
    wanted.intents.iter().filter_map(|(name, intent)| Some((name.clone(), intent.replicas?))).collect()
}

/// Writes down how an operation on a revision ended. Whether it changed anything: what has succeeded once stays so.
pub(super) fn judge(wanted: &mut WantedStack, number: Revision, outcome: &Outcome) -> bool {
    let entry = wanted.history.get_mut(&number);
    let Some(entry) = entry.filter(|entry| entry.verdict == RevisionVerdict::UnderWay) else { return false };
    entry.verdict = match outcome {
        Outcome::Converged => RevisionVerdict::Succeeded,
        Outcome::Failed(failures) => RevisionVerdict::Failed { why: why(failures) },
        Outcome::Superseded => RevisionVerdict::Superseded { by: None },
    };
    true
}

/// The number of the next revision: one that history tells of is never given again.
pub(super) fn next(wanted: &WantedStack) -> Revision {
    let told = wanted.history.last_key_value().map_or(0, |(number, _)| number.0);
    Revision(newest(wanted).0.max(told) + 1)
}

/// Writes down what failed before anything was changed: it has a number and no content.
pub(super) fn note_refused(wanted: &mut WantedStack, entry: HistoryEntry, failures: &[Failure]) {
    let verdict = RevisionVerdict::Failed { why: why(failures) };
    let last = wanted.history.last_entry().filter(|last| {
        let same = last.get().command == entry.command && last.get().verdict == verdict;
        same && !wanted.revisions.contains_key(last.key())
    });
    // Whoever tries the same again and again is told of once.
    let number = last.map(|last| *last.key()).unwrap_or_else(|| next(wanted));
    wanted.history.insert(number, HistoryEntry { verdict, of: None, changes: Vec::new(), ..entry });
    forget(wanted, &wanted.revisions.keys().copied().collect());
}

/// The first failure as a sentence.
pub(super) fn why(failures: &[Failure]) -> String {
    failures.first().map(|first| format!("{}: {}", first.subject, first.what)).unwrap_or_default()
}

/// Drops what nobody can go back to any more. Kept are the newest revisions, the last that succeeded, what services
/// stand at, and where services stood when one of those was the newest.
pub(super) fn prune(wanted: &mut WantedStack) {
    let mut kept: BTreeSet<Revision> = wanted.intents.values().map(|intent| intent.revision).collect();
    kept.extend(wanted.revisions.keys().rev().take(KEPT));
    let succeeded = |number: &&Revision| {
        let entry = wanted.history.get(*number);
        entry.is_some_and(|entry| entry.verdict == RevisionVerdict::Succeeded)
    };
    kept.extend(wanted.revisions.keys().rev().find(succeeded));
    let stood = kept.iter().filter_map(|number| wanted.history.get(number));
    let stood: BTreeSet<Revision> = stood.flat_map(|entry| entry.elsewhere.values().copied()).collect();
    kept.extend(stood);
    wanted.revisions.retain(|number, _| kept.contains(number));
    forget(wanted, &kept);
    // Their revisions are kept whole now.
    wanted.past_images.clear();
}

/// Drops the oldest entries of revisions that are not kept.
fn forget(wanted: &mut WantedStack, kept: &BTreeSet<Revision>) {
    let told: BTreeSet<Revision> = wanted.history.keys().rev().take(TOLD).copied().collect();
    wanted.history.retain(|number, _| told.contains(number) || kept.contains(number));
}
