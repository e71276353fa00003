//! Which instances were made for a place or with an address: who is asked for each start of a large stack must not look at
//! every instance again.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hoist_model::{InstanceSpec, InstanceUid, NetworkId, Slot};

use super::Observed;

/// Instances by what they were made with, whether they live or not.
#[derive(Debug)]
pub(super) struct Holders<'a> {
    slots: BTreeMap<&'a Slot, Vec<InstanceUid>>,
    addresses: BTreeMap<(IpAddr, &'a NetworkId), Vec<InstanceUid>>,
}

impl<'a> Holders<'a> {
    pub(super) fn of(observed: &'a Observed) -> Self {
        let mut holders = Self { slots: BTreeMap::new(), addresses: BTreeMap::new() };
        for (uid, instance) in &observed.instances {
            holders.slots.entry(&instance.birth.slot).or_default().push(*uid);
            for (network, addresses) in &instance.birth.addresses {
                for address in addresses {
                    holders.addresses.entry((*address, network)).or_default().push(*uid);
                }
            }
        }
        holders
    }

    /// Those that have the place or an address of this one, each once, in the order of their ids.
    pub(super) fn sharing(&self, spec: &InstanceSpec) -> Vec<InstanceUid> {
        let of_slot = self.slots.get(&spec.slot).into_iter().flatten();
        let addresses = spec
            .addresses
            .iter()
            .flat_map(|(network, addresses)| addresses.iter().map(move |address| (*address, network)));
        let of_addresses = addresses.filter_map(|key| self.addresses.get(&key)).flatten();
        let mut found: Vec<InstanceUid> = of_slot.chain(of_addresses).copied().collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}
