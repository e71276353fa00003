//! Checks that a spec can be carried out, before anything is touched.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{
    FabricConfig, FabricSpec, LinkName, Network, NetworkId, Protocol, PublishedPort, ServiceAddress,
};
use crate::family::{Family, overlaps};

/// Why a spec can't be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Not a name the kernel takes for a link.
    #[error("{name:?} is not an interface name: 1 to 15 printable bytes without '/' and ':'")]
    LinkName {
        /// What was given.
        name: String,
    },
    /// Not a tag.
    #[error("{tag:?} is not a fabric tag: 1 to 9 lower-case letters and digits")]
    Tag {
        /// What was given.
        tag: String,
    },
    /// Not an instance identifier from which links can be named.
    #[error("{instance:?} can't name links: 1 to 12 letters, digits and '-', and at most 100 interfaces")]
    Instance {
        /// What was given.
        instance: String,
    },
    /// The uplink range has no room for two addresses.
    #[error("uplink range {range} has no room for two addresses")]
    Uplink {
        /// What was given.
        range: IpNetwork,
    },
    /// Two ranges of one fabric share addresses.
    #[error("{first} ({first_range}) and {second} ({second_range}) overlap")]
    Overlap {
        /// What the first range is for.
        first: String,
        /// The first range.
        first_range: IpNetwork,
        /// What the second range is for.
        second: String,
        /// The second range.
        second_range: IpNetwork,
    },
    /// Two networks want one bridge.
    #[error("networks {first} and {second} both name bridge {bridge}")]
    Bridge {
        /// One network.
        first: NetworkId,
        /// The other.
        second: NetworkId,
        /// The bridge.
        bridge: String,
    },
    /// An address where it can't be.
    #[error("{what} {address} is outside {range}")]
    Outside {
        /// What the address is for.
        what: String,
        /// The address.
        address: IpAddr,
        /// Where it should lie.
        range: String,
    },
    /// More than one of a family.
    #[error("{what} has more than one {family} entry")]
    Doubled {
        /// What has too many.
        what: String,
        /// The family.
        family: Family,
    },
    /// More ranges to send from than can be noted down at a link.
    #[error(
        "interface {ifname} is given more source ranges than there is room for; join them into fewer, wider ones"
    )]
    Sources {
        /// The interface.
        ifname: LinkName,
    },
    /// A name that leads nowhere.
    #[error("{what} names network {network}, which isn't there")]
    UnknownNetwork {
        /// What refers to it.
        what: String,
        /// The missing network.
        network: NetworkId,
    },
    /// Two entries for one service address.
    #[error("service address {address} is given twice")]
    ServiceTwice {
        /// The address.
        address: IpAddr,
    },
    /// Two entries for one host port.
    #[error("{protocol} port {port} on {address} is published twice")]
    PortTwice {
        /// The transport protocol.
        protocol: Protocol,
        /// `every address` or the address.
        address: String,
        /// The port on the host.
        port: u16,
    },
}

impl FabricConfig {
    /// Checks the fabric's own ranges.
    pub fn check(&self) -> Result<(), SpecError> {
        for range in self.uplinks() {
            if self.uplink_pair(Family::of(range.ip())).is_none() {
                return Err(SpecError::Uplink { range });
            }
        }
        disjoint(&self.own_ranges())
    }

    fn own_ranges(&self) -> Vec<(String, IpNetwork)> {
        let uplinks = self.uplinks().into_iter().map(|range| ("uplink".to_owned(), range));
        let services = self.services().into_iter().map(|range| ("service range".to_owned(), range));
        uplinks.chain(services).collect()
    }
}

impl FabricSpec {
    /// Checks the whole spec against itself and the fabric's own ranges.
    pub fn check(&self, config: &FabricConfig) -> Result<(), SpecError> {
        config.check()?;
        let mut ranges = config.own_ranges();
        let mut bridges: Vec<(&str, &NetworkId)> = Vec::new();
        for (id, network) in &self.networks {
            let names: Vec<&str> = network.bridges().map(LinkName::as_str).collect();
            if let Some((bridge, first)) = bridges.iter().find(|(bridge, _)| names.contains(bridge)) {
                return Err(SpecError::Bridge {
                    first: (*first).clone(),
                    second: id.clone(),
                    bridge: (*bridge).to_owned(),
                });
            }
            bridges.extend(names.into_iter().map(|name| (name, id)));
            check_network(id, network, config)?;
            ranges.extend(network.ranges.iter().map(|range| (format!("network {id}"), range.subnet)));
        }
        disjoint(&ranges)?;
        self.check_services()?;
        check_ports(&self.ports)
    }

    fn check_services(&self) -> Result<(), SpecError> {
        let mut seen = BTreeSet::new();
        for service in &self.service_addresses {
            let Some(network) = self.networks.get(&service.network) else {
                return Err(SpecError::UnknownNetwork {
                    what: "a service address".to_owned(),
                    network: service.network.clone(),
                });
            };
            check_service(service, network)?;
            for address in &service.addresses {
                if !seen.insert(*address) {
                    return Err(SpecError::ServiceTwice { address: *address });
                }
            }
        }
        Ok(())
    }
}

fn check_network(id: &NetworkId, network: &Network, config: &FabricConfig) -> Result<(), SpecError> {
    one_per_family(&format!("network {id}"), network.ranges.iter().map(|range| range.subnet.ip()))?;
    for range in &network.ranges {
        inside("gateway", range.gateway, range.subnet)?;
        let Some(services) = range.services else { continue };
        let pool = config.services().into_iter().find(|pool| pool.contains(services.network()));
        if pool.is_none_or(|pool| !pool.contains(services.broadcast())) {
            return Err(SpecError::Outside {
                what: format!("service range of network {id}, from"),
                address: services.network(),
                range: "the fabric's service range".to_owned(),
            });
        }
    }
    Ok(())
}

fn check_service(service: &ServiceAddress, network: &Network) -> Result<(), SpecError> {
    one_per_family("a service address", service.addresses.iter().copied())?;
    for address in &service.addresses {
        let range = network.range(Family::of(*address)).and_then(|range| range.services);
        match range {
            Some(range) => inside("service address", *address, range)?,
            None => {
                return Err(SpecError::Outside {
                    what: "service address".to_owned(),
                    address: *address,
                    range: format!("network {}, which has no service range", service.network),
                });
            }
        }
    }
    Ok(())
}

fn check_ports(ports: &[PublishedPort]) -> Result<(), SpecError> {
    let mut seen = BTreeSet::new();
    for port in ports {
        one_per_family("a published port", port.targets.iter().map(std::net::SocketAddr::ip))?;
        if !seen.insert((port.host_ip, port.host_port, port.protocol)) {
            return Err(SpecError::PortTwice {
                protocol: port.protocol,
                address: port.host_ip.map_or("every address".to_owned(), |ip| ip.to_string()),
                port: port.host_port,
            });
        }
    }
    Ok(())
}

fn inside(what: &str, address: IpAddr, range: IpNetwork) -> Result<(), SpecError> {
    if range.contains(address) {
        return Ok(());
    }
    Err(SpecError::Outside { what: what.to_owned(), address, range: range.to_string() })
}

fn one_per_family(what: &str, addresses: impl Iterator<Item = IpAddr>) -> Result<(), SpecError> {
    let mut seen = BTreeSet::new();
    for family in addresses.map(Family::of) {
        if !seen.insert(family) {
            return Err(SpecError::Doubled { what: what.to_owned(), family });
        }
    }
    Ok(())
}

fn disjoint(ranges: &[(String, IpNetwork)]) -> Result<(), SpecError> {
    for (index, (first, first_range)) in ranges.iter().enumerate() {
        for (second, second_range) in &ranges[index + 1..] {
            if overlaps(*first_range, *second_range) {
                return Err(SpecError::Overlap {
                    first: first.clone(),
                    first_range: *first_range,
                    second: second.clone(),
                    second_range: *second_range,
                });
            }
        }
    }
    Ok(())
}
