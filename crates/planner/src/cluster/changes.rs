//! What a revision changed, in a few words: services that came, went, or are defined otherwise, by keys of the stack file.

use std::collections::BTreeSet;

use hoist_model::{RunIntent, ServiceName, StackRevision, WantedStack};

use crate::difference::{self, Difference};

/// More services than that are counted, not named.
const NAMED: usize = 8;

/// What is wanted now against what was.
pub(super) fn between(before: Option<&WantedStack>, after: &WantedStack) -> Vec<String> {
    let names = |wanted: &WantedStack| wanted.intents.keys().cloned().collect::<BTreeSet<_>>();
    let all: BTreeSet<ServiceName> = before.into_iter().flat_map(names).chain(names(after)).collect();
    let one = |name: &ServiceName| {
        let was = before.and_then(|before| standing(before, name));
        of_service(name, was, standing(after, name))
    };
    let mut changes: Vec<String> = all.iter().filter_map(one).collect();
    let over = changes.len().saturating_sub(NAMED);
    if over > 0 {
        changes.truncate(NAMED);
        changes.push(format!("{over} more services"));
    }
    changes
}

/// The revision that a service stands at, unless it is gone or to go.
fn standing<'a>(wanted: &'a WantedStack, name: &ServiceName) -> Option<&'a StackRevision> {
    let intent = wanted.intents.get(name).filter(|intent| intent.run != RunIntent::Absent)?;
    wanted.revisions.get(&intent.revision).map(|revision| &**revision)
}

fn of_service(name: &ServiceName, was: Option<&StackRevision>, is: Option<&StackRevision>) -> Option<String> {
    let (was, is) = match (was, is) {
        (None, None) => return None,
        (None, Some(_)) => return Some(format!("+{name}")),
        (Some(_), None) => return Some(format!("-{name}")),
        (Some(was), Some(is)) => (was, is),
    };
    let (before, after) = (was.stack.services.get(name)?, is.stack.services.get(name)?);
    let differences = difference::between_services(before, after);
    let mut keys: BTreeSet<&str> = differences.iter().map(Difference::key).collect();
    let digest = |revision: &StackRevision| revision.images.get(name).and_then(|image| image.digest.clone());
    if digest(was) != digest(is) {
        keys.insert("image");
    }
    (!keys.is_empty()).then(|| format!("{name}: {}", keys.into_iter().collect::<Vec<_>>().join(", ")))
}
