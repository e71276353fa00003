//! The order of stopping: dependents end before what they depend on.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{InstanceUid, ServiceName, StackId};

use super::view::View;
use crate::graph::Dependencies;

/// Instances that are to end, and whom each must wait for.
pub(super) struct StopOrder<'a> {
    /// By stack, the services that still have a living instance to end, each with what it depends on.
    leaving: BTreeMap<&'a StackId, Leaving<'a>>,
}

#[derive(Default)]
struct Leaving<'a> {
    services: BTreeMap<&'a ServiceName, BTreeSet<&'a ServiceName>>,
    knots: BTreeMap<&'a str, usize>,
}

impl<'a> StopOrder<'a> {
    /// The order among all that is alive and should end.
    pub(super) fn of(view: &View<'a>) -> Self {
        let mut leaving: BTreeMap<&StackId, Leaving<'_>> = BTreeMap::new();
        for (uid, instance) in &view.observed.instances {
            if view.leaving(*uid).is_some() {
                let birth = &instance.birth;
                let stack = leaving.entry(&birth.slot.stack).or_default();
                stack.services.entry(&birth.slot.service).or_default().extend(&birth.depends_on);
            }
        }
        leaving.values_mut().for_each(Leaving::find_knots);
        Self { leaving }
    }

    /// A service whose instances must end before this one is told to.
    pub(super) fn waits_for(&self, view: &View<'a>, uid: InstanceUid) -> Option<&'a ServiceName> {
        let slot = &view.instance(uid)?.birth.slot;
        self.leaving.get(&slot.stack)?.dependent_on(&slot.service)
    }
}

impl<'a> Leaving<'a> {
    /// Instances made at different revisions may depend on each other in a circle, though no revision does.
    fn find_knots(&mut self) {
        let edges = self
            .services
            .iter()
            .flat_map(|(service, needs)| needs.iter().map(|need| (service.as_str(), need.as_str())));
        self.knots = Dependencies::from_edges(edges).knots();
    }

    fn dependent_on(&self, service: &ServiceName) -> Option<&'a ServiceName> {
        let knot = self.knots.get(service.as_str());
        let in_order = |other: &ServiceName| knot.is_none() || self.knots.get(other.as_str()) != knot;
        self.services
            .iter()
            .find(|(other, needs)| needs.contains(service) && *other != &service && in_order(other))
            .map(|(other, _)| *other)
    }
}
