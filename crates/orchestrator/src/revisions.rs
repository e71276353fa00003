//! Answers about a stack's revisions: its history, and what going back would do.

use std::collections::BTreeMap;

use hoist_model::{Revision, StackId, WantedStack};
use hoist_planner::cluster::intent::View;
use hoist_planner::{cluster, difference};
use hoist_wire::{ApiError, Diff, DiffSide, ErrorKind, FieldDifference, RollbackPreview, StackHistory};

use crate::operations::refused;

type Stacks = BTreeMap<StackId, WantedStack>;

fn wanted<'a>(stacks: &'a Stacks, id: &StackId) -> Result<&'a WantedStack, ApiError> {
    stacks.get(id).ok_or_else(|| not_up(id))
}

/// The error of who asks about a stack that isn't there.
pub(crate) fn not_up(id: &StackId) -> ApiError {
    ApiError::new(ErrorKind::NotFound, format!("stack {id} is not up"))
        .hint("bring it up with `hoist up`, or name the stack with `-p`")
}

pub(crate) fn history(stacks: &Stacks, id: &StackId) -> Result<StackHistory, ApiError> {
    let wanted = wanted(stacks, id)?;
    let kept = wanted.revisions.keys().copied().collect();
    Ok(StackHistory { id: id.clone(), entries: wanted.history.clone(), kept })
}

pub(crate) fn foresee(
    stacks: &Stacks,
    view: &View,
    id: &StackId,
    to: Option<Revision>,
) -> Result<RollbackPreview, ApiError> {
    let (to, changes) = cluster::foresee(wanted(stacks, id)?, id, to, view).map_err(refused)?;
    Ok(RollbackPreview { to, changes })
}

/// What two versions of a stack have otherwise.
pub(crate) fn diff(stacks: &Stacks, diff: &Diff) -> Result<Vec<FieldDifference>, ApiError> {
    let wanted = wanted(stacks, &diff.stack)?;
    let (from, to) = (version(wanted, &diff.stack, &diff.from)?, version(wanted, &diff.stack, &diff.to)?);
    let sent = |one: difference::Difference| FieldDifference { path: one.path, was: one.was, is: one.is };
    Ok(difference::between(from, to).into_iter().map(sent).collect())
}

fn version<'a>(
    wanted: &'a WantedStack,
    id: &StackId,
    side: &'a DiffSide,
) -> Result<difference::Version<'a>, ApiError> {
    let number = match side {
        DiffSide::File(stack) => return Ok(difference::Version { stack, images: None }),
        DiffSide::Present => None,
        DiffSide::Revision(number) => Some(*number),
    };
    let revision = cluster::content(wanted, id, number).map_err(refused)?;
    Ok(difference::Version { stack: &revision.stack, images: Some(&revision.images) })
}
