//! Images that were removed, as docker tells of them.

use hoist_wire::RemovedImages;

use crate::out::outln;

/// What was taken out, in docker's words.
pub(crate) fn tell(removed: &RemovedImages) {
    removed.untagged.iter().for_each(|name| outln!("Untagged: {name}"));
    removed.deleted.iter().for_each(|id| outln!("Deleted: {id}"));
}
