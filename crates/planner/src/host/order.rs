//! The order of stopping: dependents end before what they depend on, directly or through others. One that has ended stays
//! until then: without it, nobody would know of the way through it.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{InstanceUid, ServiceName, StackId};

use super::view::View;
use crate::graph::Dependencies;

/// Services, and the one with a living instance to end that each must wait for.
pub(super) struct StopOrder<'a> {
    dependents: BTreeMap<(&'a StackId, &'a ServiceName), &'a ServiceName>,
}

impl<'a> StopOrder<'a> {
    /// The order among all that is alive and should end.
    pub(super) fn of(view: &View<'a>) -> Self {
        let mut stacks: BTreeMap<&StackId, Members<'a>> = BTreeMap::new();
        for (uid, instance) in &view.observed.instances {
            let slot = &instance.birth.slot;
            let stack = stacks.entry(&slot.stack).or_default();
            if view.leaving(*uid).is_some() {
                stack.leaving.insert(&slot.service);
            }
            // A job that has ended still stands between those before and those after it.
            stack.services.insert(&slot.service);
            stack.edges.extend(instance.birth.depends_on.iter().map(|need| (&slot.service, need)));
        }
        let mut dependents = BTreeMap::new();
        for (id, stack) in stacks.iter().filter(|(_, stack)| !stack.leaving.is_empty()) {
            dependents.extend(stack.dependents().into_iter().map(|(service, by)| ((*id, service), by)));
        }
        Self { dependents }
    }

    /// A service whose instances must end before this one is told to, or removed.
    pub(super) fn waits_for(&self, view: &View<'a>, uid: InstanceUid) -> Option<&'a ServiceName> {
        let slot = &view.instance(uid)?.birth.slot;
        self.dependents.get(&(&slot.stack, &slot.service)).copied()
    }
}

#[derive(Default)]
struct Members<'a> {
    services: BTreeSet<&'a ServiceName>,
    leaving: BTreeSet<&'a ServiceName>,
    edges: BTreeSet<(&'a ServiceName, &'a ServiceName)>,
}

impl<'a> Members<'a> {
    /// For each service that others wait to see gone first: one of those others.
    fn dependents(&self) -> BTreeMap<&'a ServiceName, &'a ServiceName> {
        let graph = Dependencies::from_edges(self.edges.iter().map(|(a, b)| (a.as_str(), b.as_str())));
        // Instances made at different revisions may depend on each other in a circle, though no revision does.
        let knots = graph.knots();
        let knotted = |a: &str, b: &str| knots.get(a).is_some_and(|knot| knots.get(b) == Some(knot));
        let mut dependents = BTreeMap::new();
        for by in &self.leaving {
            let needed = graph.with_dependencies([by.as_str()]);
            let waiting = self.services.iter().filter(|service| {
                service != &by && needed.contains(service.as_str()) && !knotted(service.as_str(), by.as_str())
            });
            dependents.extend(waiting.map(|service| (*service, *by)));
        }
        dependents
    }
}
