//! Anonymous volumes belong to the place: what an instance left in them is there for the next one of its slot, as with
//! Compose.
//!
//! They are moved right before the next one's first start. Who had them is removed only afterwards; it has left the spec,
//! so it starts no more, and one that still runs keeps what it has mounted.

use hoist_model::{InstanceKind, InstanceUid};

use super::control::HostLoop;
use super::plan::Draft;
use super::view::View;
use super::{Birth, Instance, Step};

/// Whose anonymous volumes an instance of the spec takes over before its first start; none when it has its own already.
fn donor(view: &View<'_>, heir: InstanceUid) -> Option<InstanceUid> {
    let spec = view.spec.instances.get(&heir)?;
    let instance = view.instance(heir)?;
    let due = instance.starts == 0 && !instance.carried && !spec.renew_volumes;
    if !due || instance.birth.anonymous.is_empty() || spec.kind != InstanceKind::Replica {
        return None;
    }
    let left = view.observed.instances.iter().filter(|(uid, _)| !view.spec.instances.contains_key(uid));
    let had =
        left.filter(|(_, seen)| seen.birth.slot == spec.slot && seen.birth.kind == InstanceKind::Replica);
    // One that never started has nothing in them but what it took over.
    let had = had.filter(|(_, seen)| seen.starts > 0 || seen.carried);
    let had = had.filter(|(_, seen)| pairs(seen, instance).next().is_some());
    had.max_by_key(|(uid, seen)| (seen.created, **uid)).map(|(uid, _)| *uid)
}

/// The numbers of the volumes that both have at the same place.
fn pairs<'a>(from: &'a Instance, to: &'a Instance) -> impl Iterator<Item = (usize, usize)> + 'a {
    let own = to.birth.anonymous.iter();
    own.filter_map(|(target, number)| Some((*from.birth.anonymous.get(target)?, *number)))
}

/// Has an instance take over volumes that it is owed. Says whether it may start.
pub(super) fn before_start(draft: &mut Draft<'_>, uid: InstanceUid) -> bool {
    let Some(from) = donor(&draft.view, uid) else { return true };
    draft.want(Step::CarryVolumes { from, to: uid }, "it takes over the anonymous volumes of its slot");
    false
}

/// Whether another instance is still to take over the volumes of one that has left the spec.
pub(super) fn is_owed(view: &View<'_>, uid: InstanceUid) -> bool {
    let Some(instance) = view.instance(uid).filter(|seen| !seen.birth.anonymous.is_empty()) else {
        return false;
    };
    let heirs = view.members(&instance.birth.slot.stack, &instance.birth.slot.service);
    heirs.iter().any(|heir| donor(view, *heir) == Some(uid) || will_inherit(view, instance, *heir))
}

/// Whether an instance that is not laid out yet is to take over volumes of this one: it may wait for a network or volume
/// for longer than the one before it takes to end.
fn will_inherit(view: &View<'_>, from: &Instance, heir: InstanceUid) -> bool {
    let Some(spec) = view.spec.instances.get(&heir).filter(|_| view.instance(heir).is_none()) else {
        return false;
    };
    let replicas = spec.kind == InstanceKind::Replica && from.birth.kind == InstanceKind::Replica;
    let due = replicas && spec.slot == from.birth.slot && !spec.renew_volumes;
    let own = || Birth::of(view.spec, heir).map(|birth| birth.anonymous).unwrap_or_default();
    due && (from.starts > 0 || from.carried)
        && own().keys().any(|target| from.birth.anonymous.contains_key(target))
}

impl HostLoop {
    /// The volumes to move for a step, as numbers of the one's and the other's.
    #[must_use]
    pub fn carried(&self, step: &Step) -> Vec<(usize, usize)> {
        let Step::CarryVolumes { from, to } = step else { return Vec::new() };
        let instances = &self.observed.instances;
        let both = instances.get(from).zip(instances.get(to));
        both.map(|(from, to)| pairs(from, to).collect()).unwrap_or_default()
    }
}
