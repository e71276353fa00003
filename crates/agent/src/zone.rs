//! The planner's names in the form of the zone file that dns reads.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use hoist_netfabric::dns;
use hoist_planner::host::{Zone, ZoneClient, ZoneNetwork, ZoneRecord, ZoneUpstream};

/// Counts the zones that this process has written; dns repeats it in its notices.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Writes the zone file. Questions asked from now on are answered from it.
pub(crate) fn publish(path: &Path, zone: &Zone) -> io::Result<()> {
    let mut file = dns::Zone::new(GENERATION.fetch_add(1, Ordering::Relaxed));
    file.listen.clone_from(&zone.listen);
    file.networks = zone.networks.iter().map(|(id, names)| (id.to_string(), network(names))).collect();
    file.instances = zone.clients.iter().map(client).collect();
    file.write(path)
}

fn network(names: &ZoneNetwork) -> dns::Network {
    let record =
        |record: &ZoneRecord| dns::Record { addresses: record.addresses.clone(), rotate: record.rotate };
    dns::Network {
        subnets: names.subnets.clone(),
        names: names.names.iter().map(|(name, target)| (name.clone(), record(target))).collect(),
        reverse: names.reverse.clone(),
    }
}

fn client(client: &ZoneClient) -> dns::Instance {
    dns::Instance {
        addresses: client.addresses.clone(),
        networks: client.networks.iter().map(ToString::to_string).collect(),
        own: client.own.clone(),
        domains: client.networks.iter().map(ToString::to_string).collect(),
        upstream: match &client.upstream {
            ZoneUpstream::Host => dns::Upstream::Host,
            ZoneUpstream::Servers(servers) => dns::Upstream::Servers(servers.clone()),
            ZoneUpstream::Nobody => dns::Upstream::Nobody,
        },
    }
}
