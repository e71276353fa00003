//! The address ranges that Hoist may use.

use ipnetwork::{Ipv4Network, Ipv6Network};
use serde::{Deserialize, Serialize};

/// Where subnets and service addresses come from. The fabric is configured with the same `services4`, `services6`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Subnets of networks are cut from this.
    pub networks4: Ipv4Network,
    /// Prefix length of a network's IPv4 subnet.
    pub prefix4: u8,
    /// Service addresses; outside `networks4`. Each network has a range of its own in it.
    pub services4: Ipv4Network,
    /// IPv6 subnets (/64 each) are cut from this unique local prefix; its last /64 is for service addresses.
    pub ula: Ipv6Network,
}

impl Default for Pool {
    /// Ranges that common tools don't take by default: 1,024 IPv4 networks of 254 addresses each.
    fn default() -> Self {
        let v4 = |a, b, prefix| {
            Ipv4Network::new(std::net::Ipv4Addr::new(a, b, 0, 0), prefix).expect("a prefix below 33 is valid")
        };
        let ula = std::net::Ipv6Addr::new(0xfd48, 0x6f69, 0x7374, 0, 0, 0, 0, 0);
        Self {
            networks4: v4(10, 212, 14),
            prefix4: 24,
            services4: v4(10, 216, 14),
            ula: Ipv6Network::new(ula, 48).expect("a prefix below 129 is valid"),
        }
    }
}
