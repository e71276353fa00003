//! Networks whose addresses the host has elsewhere too, since a VPN or another tool's network came later.

use std::collections::BTreeMap;

use hoist_model::{HostReport, HostSpec, NetworkId};

use super::overlap;

/// What to tell of each network that is there and in which a route of the host lies, or which lies in one.
#[must_use]
pub fn overlaps(spec: &HostSpec, report: &HostReport) -> BTreeMap<NetworkId, String> {
    let there = spec.networks.iter().filter(|(id, _)| report.networks.contains_key(*id));
    there
        .filter_map(|(id, network)| {
            let ranges = network.subnets.iter().chain(&network.services);
            let mut pairs = ranges.flat_map(|range| report.routes.iter().map(move |route| (range, route)));
            let (range, route) = pairs.find(|(range, route)| route.prefix() > 0 && overlap(**range, **route))?;
            let text = format!(
                "network {id} has {range}, and this host has {route} elsewhere: what has addresses in both can't be \
                 reached everywhere; a network without a declared subnet moves when its stacks go down and up again"
            );
            Some((id.clone(), text))
        })
        .collect()
}
