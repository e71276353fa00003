//! Who gets a service's traffic: one rule for its published ports, its service addresses and its names.
//!
//! Ready instances; when none is ready, connections are held where Hoist has made the gap (see `gap`); else running ones. An instance that takes its time to get healthy, or that is unhealthy
//! and alone, answers better than nobody: it is what Docker does, and members of a cluster that check each other
//! would never come up otherwise. An instance that was told to end gets nothing new, and the network must have changed
//! before it is told: see `flip`. One that drains gets something only when nobody else is there. Names of single instances
//! are no part of this: they resolve while the instance runs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hoist_model::{InstanceUid, ServiceKey, ServiceName, StackId};

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

/// The instances that may get a service's traffic, by service.
#[derive(Debug, Default)]
pub(super) struct Traffic<'a> {
    stacks: BTreeMap<&'a StackId, BTreeMap<&'a ServiceName, Candidates<'a>>>,
}

type Candidates<'a> = Vec<(Class, &'a Instance)>;

impl<'a> Traffic<'a> {
    /// The rule, applied to all that exists on the host.
    pub(super) fn of(view: &View<'a>) -> Self {
        let mut traffic = Traffic::default();
        for (uid, instance) in &view.observed.instances {
            if let Some(class) = class(view, *uid, instance) {
                let slot = &instance.birth.slot;
                let services = traffic.stacks.entry(&slot.stack).or_default();
                services.entry(&slot.service).or_default().push((class, instance));
            }
        }
        traffic
    }

    /// Who serves for a service in one network: the best of those that are in it. One that is fitter, and in other
    /// networks alone, helps nobody there. Backends on other hosts are ready ones: beside them, only ready ones here
    /// count.
    pub(super) fn serving(
        &self,
        key: &ServiceKey,
        ready_elsewhere: bool,
    ) -> impl Iterator<Item = &'a [IpAddr]> {
        let of_stack = self.stacks.get(&key.stack);
        let running = of_stack.and_then(|services| services.get(&key.service)).into_iter().flatten();
        let here = running.filter_map(|(class, instance)| {
            let addresses = instance.birth.addresses.get(&key.network)?;
            (!addresses.is_empty()).then_some((*class, addresses.as_slice()))
        });
        let here: Vec<(Class, &[IpAddr])> = here.collect();
        let best = here.iter().map(|(class, _)| *class).min();
        let best = best.filter(|class| !ready_elsewhere || *class == Class::Ready);
        here.into_iter().filter(move |(class, _)| Some(*class) == best).map(|(_, addresses)| addresses)
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
