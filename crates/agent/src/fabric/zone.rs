//! The planner's names in the form of the zone file that dns reads.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use hoist_netfabric::dns;
use hoist_planner::host::{Zone, ZoneClient, ZoneNetwork, ZoneRecord, ZoneUpstream};

/// The host, as programs made for Docker's desktop call it.
const HOST: &str = "host.docker.internal";

/// Counts the zones that this process has written; dns repeats it in its notices.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// What dns answers from, once it is written to the zone file. `host` is where instances reach this host.
pub(crate) fn file(zone: &Zone, host: Option<IpAddr>) -> dns::Zone {
    let mut file = dns::Zone::new(GENERATION.fetch_add(1, Ordering::Relaxed));
    file.listen.clone_from(&zone.listen);
    file.networks = zone.networks.iter().map(|(id, names)| (id.to_string(), network(names))).collect();
    file.instances = zone.clients.iter().map(client).collect();
    for (client, instance) in zone.clients.iter().zip(&mut file.instances) {
        let own = host.filter(|_| knows_host(zone, client)).map(|host| (HOST.to_owned(), vec![host]));
        instance.own.extend(own);
    }
    file
}

/// Whether the host's name leads to the host: not where a network has given it to something else, nor where there is no
/// way out.
fn knows_host(zone: &Zone, client: &ZoneClient) -> bool {
    let names =
        |id| zone.networks.get(id).is_some_and(|network: &ZoneNetwork| network.names.contains_key(HOST));
    client.upstream != ZoneUpstream::Nobody && !client.networks.iter().any(names)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8, network: &str, upstream: ZoneUpstream) -> ZoneClient {
        let networks = vec![network.parse().expect("an id")];
        ZoneClient { addresses: vec![[10, 0, 0, number].into()], networks, own: Default::default(), upstream }
    }

    #[test]
    fn the_host_has_a_name_unless_something_else_has_it_or_nothing_leads_there() {
        let mut taken = ZoneNetwork::default();
        taken.names.insert(HOST.to_owned(), ZoneRecord::default());
        let zone = Zone {
            listen: Vec::new(),
            networks: [
                ("s_free".parse().expect("an id"), ZoneNetwork::default()),
                ("s_taken".parse().expect("an id"), taken),
            ]
            .into(),
            clients: vec![
                client(1, "s_free", ZoneUpstream::Host),
                client(2, "s_taken", ZoneUpstream::Host),
                client(3, "s_free", ZoneUpstream::Nobody),
            ],
        };
        let host: IpAddr = [10, 9, 9, 1].into();
        let known: Vec<bool> = file(&zone, Some(host))
            .instances
            .iter()
            .map(|one| one.own.get(HOST) == Some(&vec![host]))
            .collect();
        assert_eq!(known, [true, false, false]);
    }
}
