//! `NO_PROXY`: which hosts are reached without the proxy.
//!
//! The list is read as Go's programs read it, which registries' other clients mostly are: a name stands for itself and
//! what is below it, `.name` for what is below it, an address for itself, a network for the addresses in it, `*` for
//! all; with a port only that one counts.

use std::net::IpAddr;

use ureq::http::Uri;

/// A list, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NoProxy(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    Address(IpAddr),
    Network(IpAddr, u8),
    /// With a dot before it.
    Below(String),
    /// The name, and what is below it.
    Name(String),
}

impl NoProxy {
    pub(super) fn parse(list: &str) -> Self {
        Self(
            list.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty()).map(Entry::parse).collect(),
        )
    }

    /// Whether the proxy is left out for this address.
    pub(super) fn covers(&self, url: &str) -> bool {
        let Ok(uri) = url.parse::<Uri>() else { return false };
        let Some(host) = uri.host() else { return false };
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        self.0.iter().any(|entry| entry.port.is_none_or(|wanted| wanted == port) && entry.hosts.cover(&host))
    }
}

impl Entry {
    fn parse(word: &str) -> Self {
        let word = word.to_ascii_lowercase();
        let bare = word.trim_start_matches('[').trim_end_matches(']');
        if word == "*" {
            return Self { hosts: Hosts::All, port: None };
        }
        if let Ok(address) = bare.parse() {
            return Self { hosts: Hosts::Address(address), port: None };
        }
        let network = word.split_once('/').and_then(|(address, bits)| {
            let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
            Some(Hosts::Network(address, bits))
        });
        if let Some(hosts) = network {
            return Self { hosts, port: None };
        }
        let (host, port) = match word.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().ok()),
            _ => (&word[..], None),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let hosts = match (bare.parse(), host.strip_prefix('*').unwrap_or(host)) {
            (Ok(address), _) => Hosts::Address(address),
            (Err(_), below) if below.starts_with('.') => Hosts::Below(below.to_owned()),
            (Err(_), name) => Hosts::Name(name.to_owned()),
        };
        Self { hosts, port }
    }
}

impl Hosts {
    fn cover(&self, host: &str) -> bool {
        let address = || host.parse::<IpAddr>().ok();
        match self {
            Self::All => true,
            Self::Address(wanted) => address() == Some(*wanted),
            Self::Network(network, bits) => address().is_some_and(|address| inside(*network, *bits, address)),
            Self::Below(end) => host.ends_with(&end[..]),
            Self::Name(name) => {
                host == name || host.strip_suffix(&name[..]).is_some_and(|rest| rest.ends_with('.'))
            }
        }
    }
}

fn inside(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let shifted =
        |value: u128, width: u8| value.checked_shr(u32::from(width.saturating_sub(bits))).unwrap_or(0);
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let number = |address: std::net::Ipv4Addr| u128::from(u32::from(address));
            bits <= 32 && shifted(number(network), 32) == shifted(number(address), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            bits <= 128 && shifted(u128::from(network), 128) == shifted(u128::from(address), 128)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_suffixes_addresses_networks_and_ports_count() {
        let list = "localhost, a.example,.b.example,*.c.example,10.0.0.0/8,192.0.2.7,fd00::/8,[::1]:5000,d.example:5000";
        let list = NoProxy::parse(list);
        let covered = [
            "http://localhost:5000/v2/",
            "https://a.example/v2/",
            "https://A.Example:5000/",
            "https://x.a.example/",
            "https://x.b.example/",
            "https://x.c.example/",
            "http://10.1.2.3:5000/",
            "https://192.0.2.7/",
            "https://[fd12::3]/",
            "http://[::1]:5000/",
            "https://d.example:5000/",
        ];
        let proxied = [
            "https://b.example/",
            "https://xa.example/",
            "https://a.example.org/",
            "https://11.1.2.3/",
            "https://192.0.2.70/",
            "https://[fe80::1]/",
            "http://[::1]:5001/",
            "https://d.example/",
            "no address",
        ];
        for url in covered {
            assert!(list.covers(url), "{url}");
        }
        for url in proxied {
            assert!(!list.covers(url), "{url}");
        }
        assert!(NoProxy::parse("*").covers("https://any.example/"));
        assert!(NoProxy::parse("0.0.0.0/0").covers("https://192.0.2.7/"));
        assert!(!NoProxy::parse("").covers("https://any.example/"));
    }
}
