//! Who gets a service's traffic: one rule for its published ports, its service addresses and its names.
//!
//! Ready instances; when none is ready, running ones. An instance that takes its time to get healthy, or that is unhealthy
//! and alone, answers better than nobody: it is what Docker does, and members of a cluster that check each other
//! would never come up otherwise. An instance that was told to end gets nothing new, and the network must have changed
//! before it is told: see `flip`. One that drains gets something only when nobody else is there. Names of single instances
//! are no part of this: they resolve while the instance runs.

use std::collections::BTreeMap;

use hoist_model::{InstanceUid, ServiceName, StackId};

use super::view::View;
use super::{Instance, Life};

/// How fit an instance is for traffic. Those of the best class that a service has get all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Ready. One that is about to be replaced serves until it is told to end.
    Ready,
    /// Running, not ready, and to go on running.
    Running,
    /// Running, about to be told to end: not ready, or draining. Still better than nobody.
    Leaving,
}

/// The instances that get a service's traffic, by service.
#[derive(Debug, Default)]
pub(super) struct Traffic<'a> {
    stacks: BTreeMap<&'a StackId, BTreeMap<&'a ServiceName, Serving<'a>>>,
}

/// Who serves for one service on this host.
#[derive(Debug)]
pub(super) struct Serving<'a> {
    class: Class,
    instances: Vec<(InstanceUid, &'a Instance)>,
}

impl<'a> Traffic<'a> {
    /// The rule, applied to all that exists on the host.
    pub(super) fn of(view: &View<'a>) -> Self {
        let mut traffic = Traffic::default();
        for (uid, instance) in &view.observed.instances {
            if let Some(class) = class(view, *uid, instance) {
                let slot = &instance.birth.slot;
                let services = traffic.stacks.entry(&slot.stack).or_default();
                let serving = services.entry(&slot.service);
                serving
                    .or_insert_with(|| Serving { class, instances: Vec::new() })
                    .add(class, *uid, instance);
            }
        }
        traffic
    }

    /// Who serves for a service. Backends on other hosts are ready ones: beside them, only ready ones here count.
    pub(super) fn serving(
        &self,
        stack: &StackId,
        service: &ServiceName,
        ready_elsewhere: bool,
    ) -> &[(InstanceUid, &'a Instance)] {
        match self.stacks.get(stack).and_then(|services| services.get(service)) {
            Some(serving) if !ready_elsewhere || serving.class == Class::Ready => &serving.instances,
            _ => &[],
        }
    }
}

impl<'a> Serving<'a> {
    fn add(&mut self, class: Class, uid: InstanceUid, instance: &'a Instance) {
        if class < self.class {
            self.class = class;
            self.instances.clear();
        }
        if class == self.class {
            self.instances.push((uid, instance));
        }
    }
}

fn class(view: &View<'_>, uid: InstanceUid, instance: &Instance) -> Option<Class> {
    if !matches!(instance.life, Life::Running { .. }) || view.withdrawn(uid) {
        None
    } else if instance.draining.is_some() {
        Some(Class::Leaving)
    } else if view.ready(uid) {
        Some(Class::Ready)
    } else if view.leaving(uid).is_none() {
        Some(Class::Running)
    } else {
        Some(Class::Leaving)
    }
}
