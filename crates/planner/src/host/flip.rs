//! How far the network is behind what was planned. A fabric is sent and, a moment later, applied; until then the kernel may
//! lead traffic by it or by any that was sent since the last that was applied.
//!
//! Whoever is told to end must get no new connection afterwards, so `life` asks here before it does. What an agent before
//! this one left in the kernel is unknown until the first application.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hoist_model::Moment;

use super::transition::fault;
use super::{Application, FabricWanted, Fault, StepError};
use crate::Now;

/// Fabrics that were sent, from the one that was applied last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FabricProgress {
    /// The number of the newest.
    sent: u64,
    /// Where each leads, by number; not known of what was there before the first.
    destinations: BTreeMap<u64, Option<BTreeSet<IpAddr>>>,
    /// Why the last application failed, when it did.
    fault: Option<Fault>,
}

impl Default for FabricProgress {
    /// Nothing was sent yet.
    fn default() -> Self {
        Self { sent: 0, destinations: BTreeMap::from([(0, None)]), fault: None }
    }
}

impl FabricProgress {
    /// Whether the kernel may lead new connections to one of these addresses.
    #[must_use]
    pub fn may_lead_to<'a>(&self, addresses: impl IntoIterator<Item = &'a IpAddr>) -> bool {
        let leads = |address: &IpAddr| {
            self.destinations.values().any(|known| known.as_ref().is_none_or(|known| known.contains(address)))
        };
        addresses.into_iter().any(leads)
    }

    /// Why the kernel couldn't be brought to the newest, when it couldn't.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Gives the next fabric its number.
    pub(super) fn send(&mut self, wanted: &FabricWanted) -> u64 {
        self.sent += 1;
        self.destinations.insert(self.sent, Some(wanted.destinations()));
        self.sent
    }

    /// What was sent before one that the kernel has is overwritten. After a failure, anything may be there.
    pub(super) fn applied(&mut self, application: Application, now: &Now) {
        match application.outcome {
            // What an agent before this one applied says nothing of this one's.
            Ok(()) if application.number > self.sent => {}
            Ok(()) => {
                self.destinations = self.destinations.split_off(&application.number);
                self.fault = None;
            }
            Err(error) => {
                let before = self.fault.as_ref().map_or(0, |fault| fault.failures);
                self.fault = Some(fault(StepError { permanent: false, ..error }, before, now));
            }
        }
    }

    /// When one that failed is to be sent again.
    pub(super) fn retry(&self) -> Option<Moment> {
        self.fault.as_ref()?.retry.clone()
    }

    /// Whether one that failed is to be sent again now; the next look says how that went.
    pub(super) fn try_again(&mut self, now: &Now) -> bool {
        let due = |retry: &mut Moment| retry.since_boot <= now.moment.since_boot;
        self.fault.as_mut().is_some_and(|fault| fault.retry.take_if(due).is_some())
    }
}
