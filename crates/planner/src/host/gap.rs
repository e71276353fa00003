//! Gaps that Hoist makes: an instance was told to end so that another run, of it or of its successor, can take its place.
//! New connections to its service wait meanwhile, for `x-hoist.hold` at most, instead of being refused.
//!
//! A gap begins when the one before gets nothing new any more, by a replacement that stops first, by a restart that
//! a person asked for or that a liveness probe caused. It ends when its successor is ready, and when nothing will come any more. What ends by itself makes
//! none: its clients learn of it at once. When a gap began is journalled with the instance that ends it, so that an agent
//! which starts anew holds no longer than the one before would have.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::{InstanceKind, InstanceSpec, InstanceUid, Moment, ServiceKey};

use super::Life;
use super::control::HostLoop;
use super::plan::Draft;
use super::restart::Due;
use super::view::View;

/// Notes every gap with its beginning, and looks again when one has lasted as long as connections may wait.
pub(super) fn note(draft: &mut Draft<'_>) {
    for (uid, spec) in &draft.view.spec.instances {
        let Some(since) = since(&draft.view, *uid, spec) else { continue };
        let end = since.after(hold(&draft.view, spec));
        if end.since_boot > draft.view.now.since_boot {
            draft.wake(end);
        }
        draft.plan.gaps.insert(*uid, since);
    }
}

/// When the gap began that an instance is to end; none when there is none.
fn since(view: &View<'_>, uid: InstanceUid, spec: &InstanceSpec) -> Option<Moment> {
    if spec.kind != InstanceKind::Replica || !view.wanted(uid) || view.ready(uid) || !comes(view, uid) {
        return None;
    }
    let known = view.instance(uid).and_then(|instance| instance.gap.clone());
    let known = known.filter(|since| since.boot == view.now.boot);
    known.or_else(|| is_made(view, uid, spec).then(|| view.now.clone()))
}

/// Whether the one before, or the run before, is being told to end.
fn is_made(view: &View<'_>, uid: InstanceUid, spec: &InstanceSpec) -> bool {
    let outgoing = view.outgoing.get(&spec.slot).into_iter().flatten();
    outgoing.chain([&uid]).any(|before| view.withdrawn(*before))
}

/// Whether it runs, or will.
fn comes(view: &View<'_>, uid: InstanceUid) -> bool {
    let Some(instance) = view.instance(uid) else { return true };
    match &instance.life {
        Life::Making | Life::Launching | Life::Running { .. } => true,
        Life::Created => instance.fault.as_ref().is_none_or(|fault| fault.retry.is_some()),
        Life::Ended { .. } => view.due(uid) != Due::Stay,
    }
}

fn hold(view: &View<'_>, spec: &InstanceSpec) -> Duration {
    view.template(spec).map_or(Duration::ZERO, |template| template.service.rollout.hold)
}

/// Whether new connections to a service wait in one network: an instance that is to come there ends a gap, which hasn't
/// lasted too long.
pub(super) fn is_held(view: &View<'_>, gaps: &BTreeMap<InstanceUid, Moment>, key: &ServiceKey) -> bool {
    let of_service = |spec: &InstanceSpec| {
        (&spec.slot.stack, &spec.slot.service) == (&key.stack, &key.service)
            && spec.addresses.contains_key(&key.network)
    };
    gaps.iter().any(|(uid, since)| {
        let spec = view.spec.instances.get(uid).filter(|spec| of_service(spec));
        spec.is_some_and(|spec| since.after(hold(view, spec)).since_boot > view.now.since_boot)
    })
}

impl HostLoop {
    /// Notes down which gaps have begun, and which are over.
    pub(super) fn note_gaps(&mut self) {
        for (uid, instance) in &mut self.observed.instances {
            let gap = self.plan.gaps.get(uid).cloned();
            if instance.gap != gap {
                instance.gap = gap;
                self.touched.insert(*uid);
            }
        }
    }
}
