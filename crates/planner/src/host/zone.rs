//! Names: what the host's DNS answers from.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hoist_model::NetworkId;
use ipnetwork::IpNetwork;

/// All names, whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zone {
    /// Gateway addresses: where the server listens.
    pub listen: Vec<IpAddr>,
    /// Names by network.
    pub networks: BTreeMap<NetworkId, ZoneNetwork>,
    /// Who may ask, and what is different for them.
    pub clients: Vec<ZoneClient>,
}

/// The names that everything attached to one network sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ZoneNetwork {
    /// Ranges whose addresses are the fabric's own, those of service addresses included.
    pub subnets: Vec<IpNetwork>,
    /// Services, aliases, slots (`web-1`), container names, short ids, and `tasks.<service>`.
    pub names: BTreeMap<String, ZoneRecord>,
    /// The one name of an address.
    pub reverse: BTreeMap<IpAddr, String>,
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ZoneRecord {
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Start each answer one further on (`endpoint_mode: dnsrr`).
    pub rotate: bool,
}

/// One instance as a client: its questions come from its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneClient {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its networks, in the order of answers.
    pub networks: Vec<NetworkId>,
    /// Names that lead elsewhere for it: its own service, to itself.
    pub own: BTreeMap<String, Vec<IpAddr>>,
    /// Who is asked for other names.
    pub upstream: ZoneUpstream,
}

/// Who is asked for names that the fabric doesn't have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ZoneUpstream {
    /// The host's resolvers.
    #[default]
    Host,
    /// These (`dns:`).
    Servers(Vec<IpAddr>),
    /// Nobody: it has internal networks only.
    Nobody,
}
