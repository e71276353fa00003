//! Operations under way: what a person asked for, until its verdict.

use std::collections::BTreeSet;

use hoist_model::{
    EventKind, Failure, NetworkId, Outcome, Revision, RevisionVerdict, StackId, Subject, Verdict, VolumeId,
    WantedStack,
};

use super::up::newest;
use super::verdict::Goal;
use super::{Effect, OpId, events};

/// An operation whose verdict is not out yet. Each stack has one at most: a newer one supersedes it.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) op: OpId,
    pub(super) goal: Goal,
    /// Networks and volumes of the stack: their events belong to it.
    pub(super) networks: BTreeSet<NetworkId>,
    pub(super) volumes: BTreeSet<VolumeId>,
    /// What has changed since it began.
    pub(super) changed: BTreeSet<Subject>,
    /// The revision of which history tells how this ended.
    pub(super) revision: Option<Revision>,
}

/// An operation that nobody follows: it was under way when the orchestrator ended, and history waits for its verdict.
pub(super) const UNHEARD: OpId = OpId(0);

impl Operation {
    pub(super) fn new(op: OpId, goal: Goal, wanted: &WantedStack) -> Self {
        let stacks = || wanted.revisions.values().map(|revision| &revision.stack);
        let networks = stacks().flat_map(|stack| stack.networks.values()).map(|network| network.id.clone());
        let volumes = stacks().flat_map(|stack| stack.volumes.values()).map(|volume| volume.id.clone());
        Self {
            op,
            goal,
            networks: networks.collect(),
            volumes: volumes.collect(),
            changed: BTreeSet::new(),
            revision: None,
        }
    }

    pub(super) fn judging(self, revision: Option<Revision>) -> Self {
        Self { revision, ..self }
    }

    /// Goes on with what history says is under way.
    pub(super) fn resumed(stack: &StackId, wanted: &WantedStack) -> Option<Self> {
        let number = newest(wanted);
        let entry = wanted.history.get(&number)?;
        if entry.verdict != RevisionVerdict::UnderWay || wanted.removal.is_some() {
            return None;
        }
        let moved = wanted.intents.iter().filter(|(_, intent)| intent.revision == number);
        let services = moved.map(|(name, _)| name.clone()).collect();
        let goal = Goal { stack: stack.clone(), services, wait: false, removal: false };
        Some(Self::new(UNHEARD, goal, wanted).judging(Some(number)))
    }

    /// Passes on what is about the stack, and counts what the operation changed.
    pub(super) fn tell(&mut self, event: &EventKind) -> Option<Effect> {
        let EventKind::Progress { subject, .. } = event else { return None };
        let about = match subject {
            Subject::Network(id) => self.networks.contains(id),
            Subject::Volume(id) => self.volumes.contains(id),
            other => events::slot(other).is_some_and(|slot| slot.stack == self.goal.stack),
        };
        let moved = events::slot(subject).is_none_or(|slot| self.goal.services.contains(&slot.service));
        if about && moved {
            self.changed.insert(subject.clone());
        }
        about.then(|| self.emit(event.clone()))
    }

    pub(super) fn emit(&self, event: EventKind) -> Effect {
        Effect::Emit { op: self.op, stack: self.goal.stack.clone(), event }
    }

    pub(super) fn verdict(&self, outcome: Outcome) -> Effect {
        let changed = u32::try_from(self.changed.len()).unwrap_or(u32::MAX);
        self.emit(EventKind::Verdict(Verdict { outcome, changed }))
    }
}

/// The end of an operation that never began.
pub(super) fn refused_for(op: OpId, stack: &StackId, failures: Vec<Failure>) -> Effect {
    ended(op, stack, Outcome::Failed(failures))
}

/// The same, however it ended.
pub(super) fn ended(op: OpId, stack: &StackId, outcome: Outcome) -> Effect {
    let verdict = Verdict { outcome, changed: 0 };
    Effect::Emit { op, stack: stack.clone(), event: EventKind::Verdict(verdict) }
}
