//! Where services are reached: apart from specs, since readiness changes far more often than what should run.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Generation, NetworkId, ServiceName, StackId};

/// Service addresses, and backends on other hosts. The agent adds its own instances itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    /// A version of its own.
    pub generation: Generation,
    /// One entry for each service and network.
    #[serde(with = "entries")]
    pub services: BTreeMap<ServiceKey, ServiceAddress>,
}

/// A service in one network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// The stack.
    pub stack: StackId,
    /// The service.
    pub service: ServiceName,
    /// The network.
    pub network: NetworkId,
}

/// A service's address in one network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceAddress {
    /// The service addresses; empty for `dnsrr`.
    pub addresses: Vec<IpAddr>,
    /// Ready instances on other hosts.
    pub remote: Vec<IpAddr>,
    /// Names that resolve to it besides the service's own.
    pub aliases: Vec<String>,
}

mod entries {
    //! A map with a structured key, as a list of pairs: JSON's keys are text.
    use super::{BTreeMap, ServiceAddress, ServiceKey};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<ServiceKey, ServiceAddress>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<ServiceKey, ServiceAddress>, D::Error> {
        Ok(Vec::<(ServiceKey, ServiceAddress)>::deserialize(deserializer)?.into_iter().collect())
    }
}
