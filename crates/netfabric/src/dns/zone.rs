//! What the server knows: the file the agent writes, and the table that answers are read from.
//!
//! Owns the format, its checks, and the atomic replacement. Which names exist is the writer's business.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::path::Path;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

/// The version of the zone file this build reads and writes. A file of another version is refused
/// whole: half-understood names are worse than the names of a moment ago. A later build may add what
/// names come out right without; anything else gets another version.
pub const FORMAT: u32 = 1;

/// Everything the server answers from, as written in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    pub format: u32,
    /// Counts the writer's changes; the server only repeats it in notices.
    pub generation: u64,
    /// Addresses this server is asked under (gateways). Never used as an upstream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<IpAddr>,
    #[serde(default)]
    pub networks: BTreeMap<String, Network>,
    #[serde(default)]
    pub instances: Vec<Instance>,
}

/// The names that everything attached to one network sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Every range whose addresses are the fabric's own, those of service addresses included. A
    /// reverse question inside them is never asked upstream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<IpNetwork>,
    /// Services, instances and aliases, with and without suffix: whatever is to resolve is listed.
    pub names: BTreeMap<String, Record>,
    /// The one name a reverse question gets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reverse: BTreeMap<IpAddr, String>,
}

/// Where one name leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    pub addresses: Vec<IpAddr>,
    /// Start each answer one address further on (`endpoint_mode: dnsrr`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rotate: bool,
}

/// One asker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instance {
    /// Every address its questions may come from.
    pub addresses: Vec<IpAddr>,
    /// Ids of the networks it is attached to. The order is the order of its answers.
    pub networks: Vec<String>,
    /// Names that lead elsewhere for this asker than for others: its own service, to itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub own: BTreeMap<String, Vec<IpAddr>>,
    /// Suffixes that belong to the fabric: an unknown name below them is never asked upstream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    #[serde(skip_serializing_if = "Upstream::is_host")]
    pub upstream: Upstream,
}

/// Who is asked for names the fabric does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upstream {
    /// The resolvers of the host.
    #[default]
    Host,
    /// These, on port 53, in this order (`dns:` in a stack file).
    Servers(Vec<IpAddr>),
    /// Nobody: an instance with internal networks only must not reach outside through names either.
    Nobody,
}

impl Upstream {
    fn is_host(&self) -> bool {
        *self == Upstream::Host
    }
}

/// Why a zone file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    #[error("can't read the zone file")]
    Read(#[source] io::Error),
    #[error("the zone file is not valid")]
    Syntax(#[source] serde_json::Error),
    #[error("the zone file has format {found}, this build reads {FORMAT}")]
    Format { found: u32 },
    #[error("address {0} belongs to two instances")]
    AddressTwice(IpAddr),
    #[error("instance {address} is attached to network {network:?}, which the zone does not have")]
    UnknownNetwork { address: String, network: String },
}

impl Zone {
    /// An empty zone of this build's format.
    pub fn new(generation: u64) -> Self {
        Self {
            format: FORMAT,
            generation,
            listen: Vec::new(),
            networks: BTreeMap::new(),
            instances: Vec::new(),
        }
    }

    /// Replaces the file at `path` by this zone, so that a reader sees the old one or the new one.
    ///
    /// Not synced to disk: a zone does not survive the fabric it describes, and a reboot ends both.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_os_string();
        name.push(".new");
        let fresh = path.with_file_name(name);
        std::fs::write(&fresh, serde_json::to_vec(self)?)?;
        std::fs::rename(&fresh, path)
    }
}

/// A checked zone with its index: what [`resolve`](super::resolve()) reads.
#[derive(Clone, Debug)]
pub struct Table {
    zone: Zone,
    asker_at: HashMap<IpAddr, usize>,
}

impl Table {
    /// Reads and checks the file at `path`.
    pub fn read(path: &Path) -> Result<Self, ZoneError> {
        Self::parse(&std::fs::read(path).map_err(ZoneError::Read)?)
    }

    /// Checks the text of a zone file.
    pub fn parse(text: &[u8]) -> Result<Self, ZoneError> {
        // A file of a later format may have fields unknown here: say "format", not "field".
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let format = |_: &_| serde_json::from_slice(text).map_or(FORMAT, |v: Versioned| v.format);
        let zone: Result<Zone, _> = serde_json::from_slice(text);
        match zone.as_ref().map_or_else(format, |zone| zone.format) {
            FORMAT => Self::new(zone.map_err(ZoneError::Syntax)?),
            found => Err(ZoneError::Format { found }),
        }
    }

    /// Checks a zone and builds its index.
    pub fn new(mut zone: Zone) -> Result<Self, ZoneError> {
        let mut asker_at = HashMap::new();
        for (at, instance) in zone.instances.iter().enumerate() {
            if let Some(network) = instance.networks.iter().find(|id| !zone.networks.contains_key(*id)) {
                let address = instance.addresses.first().map(ToString::to_string).unwrap_or_default();
                return Err(ZoneError::UnknownNetwork { address, network: network.clone() });
            }
            for address in &instance.addresses {
                if asker_at.insert(*address, at).is_some() {
                    return Err(ZoneError::AddressTwice(*address));
                }
            }
        }
        normalise_names(&mut zone);
        Ok(Self { zone, asker_at })
    }

    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The instance that asks from `source`.
    pub fn asker(&self, source: IpAddr) -> Option<&Instance> {
        self.asker_at.get(&source.to_canonical()).map(|&at| &self.zone.instances[at])
    }

    /// The networks an instance is attached to, with their ids, in the order of its answers.
    pub fn networks_of<'z>(&'z self, asker: &'z Instance) -> impl Iterator<Item = (&'z str, &'z Network)> {
        asker.networks.iter().filter_map(|id| Some((id.as_str(), self.zone.networks.get(id)?)))
    }

    /// The network whose range holds `address`, attached or not.
    pub fn network_around(&self, address: IpAddr) -> Option<&str> {
        let mut networks = self.zone.networks.iter();
        networks.find(|(_, n)| n.subnets.iter().any(|s| s.contains(address))).map(|(id, _)| id.as_str())
    }
}

/// The form in which names are compared: lower case, without the root's dot.
pub(super) fn normalise(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn normalise_names(zone: &mut Zone) {
    for network in zone.networks.values_mut() {
        network.names = keys_normalised(std::mem::take(&mut network.names), merge_records);
    }
    for instance in &mut zone.instances {
        instance.own = keys_normalised(std::mem::take(&mut instance.own), Extend::extend);
        for domain in &mut instance.domains {
            *domain = normalise(domain.trim_start_matches('.'));
        }
    }
}

/// Names that differ in case only are one name: what they lead to is merged, nothing is dropped.
fn keys_normalised<T>(names: BTreeMap<String, T>, merge: impl Fn(&mut T, T)) -> BTreeMap<String, T> {
    let mut normal: BTreeMap<String, T> = BTreeMap::new();
    for (name, value) in names {
        match normal.entry(normalise(&name)) {
            std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(value)),
            std::collections::btree_map::Entry::Occupied(mut entry) => merge(entry.get_mut(), value),
        }
    }
    normal
}

fn merge_records(record: &mut Record, more: Record) {
    record.addresses.extend(more.addresses);
    record.rotate |= more.rotate;
}

#[cfg(test)]
mod tests;
