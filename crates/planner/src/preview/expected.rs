//! How things are expected to turn out: everything runs well, and what others wait for to complete completes.

use std::collections::BTreeSet;

use hoist_model::{Condition, Exit, ServiceName, Slot, Stack, StackId};

use crate::cluster::Request;
use crate::project::{Fate, Oracle};

/// The expectation.
#[derive(Debug, Default)]
pub(super) struct Expected {
    completes: BTreeSet<(StackId, ServiceName)>,
}

impl Expected {
    pub(super) fn of(request: &Request) -> Self {
        let Request::Up(up) = request else { return Self::default() };
        Self { completes: completing(&up.stack).map(|name| (up.stack.id.clone(), name)).collect() }
    }
}

fn completing(stack: &Stack) -> impl Iterator<Item = ServiceName> + '_ {
    let needs = stack.services.values().flat_map(|service| &service.depends_on);
    let completed = needs.filter(|(_, need)| need.condition == Condition::ServiceCompletedSuccessfully);
    let steps = stack.services.iter().filter(|(_, service)| service.step_of.is_some());
    completed.map(|(name, _)| name.clone()).chain(steps.map(|(name, _)| name.clone()))
}

impl Oracle for Expected {
    fn run(&mut self, slot: &Slot, _attempt: u32) -> Fate {
        // Few services complete, so that the names are compared one by one.
        let completes =
            self.completes.iter().any(|(stack, name)| *stack == slot.stack && *name == slot.service);
        if completes { Fate::Ends(Exit::Code(0)) } else { Fate::Runs { healthy: true } }
    }
}
