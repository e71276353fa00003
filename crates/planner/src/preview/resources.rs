//! Networks and volumes that come or go, and the data that goes with them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hoist_model::{HostSpec, InstanceSpec, InstanceUid, ResourceChange, Slot, SlotAction};

use super::Telling;
use crate::host::Step;
use crate::project::Sights;
use crate::template::anonymous_volumes;

/// Networks that would be made or removed.
pub(super) fn networks(sights: &Sights) -> Vec<ResourceChange> {
    changes(sights, |step| match step {
        Step::EnsureNetwork(id) => Some((id.to_string(), SlotAction::Create)),
        Step::RemoveNetwork(id) => Some((id.to_string(), SlotAction::Remove)),
        _ => None,
    })
}

/// Volumes that would be made or removed.
pub(super) fn volumes(sights: &Sights) -> Vec<ResourceChange> {
    changes(sights, |step| match step {
        Step::EnsureVolume(id) => Some((id.to_string(), SlotAction::Create)),
        Step::RemoveVolume(id) => Some((id.to_string(), SlotAction::Remove)),
        _ => None,
    })
}

fn changes(sights: &Sights, of: impl Fn(&Step) -> Option<(String, SlotAction)>) -> Vec<ResourceChange> {
    let found = sights.steps.iter().filter_map(|one| of(&one.step));
    found.map(|(name, action)| ResourceChange { name, action }).collect()
}

impl Telling<'_> {
    /// Volumes that are removed, and anonymous ones that go with their instance and that no other takes over.
    pub(super) fn destroys(&self) -> Vec<String> {
        let mut found = Vec::new();
        for one in &self.projection.sights.steps {
            match (&one.step, &one.slot) {
                (Step::RemoveVolume(id), _) => found.push(format!("volume {id}")),
                (Step::RemoveInstance(uid), Some(slot)) if slot.stack == *self.stack => {
                    let lost = self.lost(*uid, slot).into_iter();
                    let told = lost
                        .map(|at| format!("the anonymous volume of {} at {}", slot.short(), at.display()));
                    found.extend(told);
                }
                _ => {}
            }
        }
        found
    }

    /// Where an instance that goes has anonymous volumes that go with it.
    fn lost(&self, uid: InstanceUid, slot: &Slot) -> Vec<PathBuf> {
        let had = self.input.known.specs.values().find_map(|spec| anonymous(spec, spec.instances.get(&uid)?));
        let carried = self
            .projection
            .sights
            .steps
            .iter()
            .any(|one| matches!(one.step, Step::CarryVolumes { from, .. } if from == uid));
        let heir = |spec: &HostSpec| {
            let next = spec.instances.values().find(|one| one.slot == *slot)?;
            anonymous(spec, next)
        };
        let kept = self.projection.specs().values().find_map(heir).filter(|_| carried).unwrap_or_default();
        had.unwrap_or_default().into_iter().filter(|at| !kept.contains(at)).collect()
    }
}

fn anonymous(spec: &HostSpec, instance: &InstanceSpec) -> Option<BTreeSet<PathBuf>> {
    let template = spec.templates.get(&instance.template)?;
    Some(anonymous_volumes(template).into_keys().collect())
}
