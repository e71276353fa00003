//! What was done since a moment, for comparison with what was foreseen: steps, and services that nobody served.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{InstanceUid, ServiceName, Slot, StackId, WantedRun};
use hoist_planner::host::{HostLoop, Step};

/// The notes.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// The steps in the order in which they began, with the place of their instance.
    pub steps: Vec<(Option<Slot>, Step)>,
    /// Services of which for a while no instance was fit for traffic, though one was before and one is wanted.
    pub gaps: BTreeSet<(StackId, ServiceName)>,
    serving: BTreeSet<(StackId, ServiceName)>,
    places: BTreeMap<InstanceUid, Slot>,
}

impl Done {
    /// Forgets what was done: what follows is compared.
    pub(super) fn clear(&mut self) {
        self.steps.clear();
        self.gaps.clear();
    }

    pub(super) fn look(&mut self, host: &HostLoop) {
        let observed = &host.observed().instances;
        let wanted = &host.spec().instances;
        self.places.extend(observed.iter().map(|(uid, seen)| (*uid, seen.birth.slot.clone())));
        self.places.extend(wanted.iter().map(|(uid, spec)| (*uid, spec.slot.clone())));
        let key = |slot: &Slot| (slot.stack.clone(), slot.service.clone());
        let fit = observed.iter().filter(|(uid, seen)| seen.ready() && !host.plan().withdrawn.contains(*uid));
        let serving: BTreeSet<_> = fit.map(|(_, seen)| key(&seen.birth.slot)).collect();
        let running = wanted.values().filter(|spec| spec.run == WantedRun::Running);
        let running: BTreeSet<_> = running.map(|spec| key(&spec.slot)).collect();
        self.gaps.extend(self.serving.difference(&serving).filter(|one| running.contains(*one)).cloned());
        self.serving = serving;
        for planned in &host.plan().steps {
            let slot = planned.step.instance().and_then(|uid| self.places.get(&uid)).cloned();
            self.steps.push((slot, planned.step.clone()));
        }
    }
}
