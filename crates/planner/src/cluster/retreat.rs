//! A failed revision that goes back by itself: `failure_action: rollback`.

use hoist_model::{Author, EventKind, FailureAction, Outcome, Revision, StackId};

use super::control::{ClusterLoop, Turn};
use super::history::why;
use super::operation::{Operation, UNHEARD};
use super::publish::{Change, Wish, warning};
use super::{Asked, last_good, rollback};

impl ClusterLoop {
    /// Where the stack goes back to after this operation, and why. What went back itself stays, so that two bad
    /// revisions don't take turns.
    pub(super) fn way_back(&self, operation: &Operation, outcome: &Outcome) -> Option<(Revision, String)> {
        let Outcome::Failed(failures) = outcome else { return None };
        let wanted = self.known.stacks.get(&operation.goal.stack)?;
        let present = operation.revision?;
        let went_back = wanted.history.get(&present)?.of.is_some();
        let services = &wanted.revisions.get(&present)?.stack.services;
        let mut moved = services.iter().filter(|(name, _)| operation.goal.services.contains(*name));
        let asked = moved.any(|(_, service)| service.update.failure_action == FailureAction::Rollback);
        let to = last_good(wanted)?;
        (asked && !went_back).then(|| (to, why(failures)))
    }

    /// Nobody follows it: history tells how it ended.
    pub(super) fn go_back_by_itself(
        &mut self,
        turn: &mut Turn<'_>,
        stack: &StackId,
        to: Revision,
        why: String,
    ) {
        let command = format!("rollback {} (failure_action)", to.0);
        let asked = Asked { created: turn.now.wall, by: Author::default(), command };
        let Some(wanted) = self.known.stacks.get(stack) else { return };
        if let Ok(applied) = rollback(wanted, stack, Some(to), Some(why), asked, &self.view) {
            let wish = Wish { judged: true, ..Wish::default() };
            self.commit(turn, Change { op: UNHEARD, stack: stack.clone(), applied, wish });
        }
    }
}

/// Says that the stack goes back.
pub(super) fn goes_back(to: Revision) -> EventKind {
    let to = to.0;
    warning(format!("the stack goes back to revision {to}, as `failure_action: rollback` says"))
}
