//! The resolver's configuration file (resolv.conf(5)), both ways: the host's is read, an instance's is
//! written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// What a resolver uses at most; more are ignored by every libc (MAXNS).
const SERVERS_MAX: usize = 3;

const PORT: u16 = 53;

/// The parts of a resolv.conf that mean something to us. What is unknown is skipped, as resolvers do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    pub servers: Vec<SocketAddr>,
    /// `search`, or `domain` as a list of one; the last line wins.
    pub search: Vec<String>,
    pub options: Vec<String>,
}

impl ResolvConf {
    pub fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => parsed.servers.extend(words.next().and_then(server)),
                Some("search" | "domain") => parsed.search = words.map(str::to_owned).collect(),
                Some("options") => parsed.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        parsed.servers.truncate(SERVERS_MAX);
        parsed
    }

    /// The servers, or the one that a file without any stands for: the host itself.
    pub(super) fn servers_or_local(self) -> Vec<SocketAddr> {
        if self.servers.is_empty() { vec![(Ipv4Addr::LOCALHOST, PORT).into()] } else { self.servers }
    }

    /// The file for an instance that asks `gateways`.
    ///
    /// `ndots:0` unless the options say otherwise: a service's name has no dot, and with the usual
    /// `ndots:1` it would first be tried with each search domain appended, outside.
    pub fn for_instance(gateways: &[IpAddr], search: &[String], options: &[String]) -> Self {
        let mut options = options.to_vec();
        if !options.iter().any(|option| option.starts_with("ndots:")) {
            options.push("ndots:0".to_owned());
        }
        let servers = gateways.iter().take(SERVERS_MAX).map(|ip| SocketAddr::new(*ip, PORT)).collect();
        Self { servers, search: search.to_vec(), options }
    }
}

impl fmt::Display for ResolvConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.servers {
            writeln!(f, "nameserver {}", server.ip())?;
        }
        if !self.search.is_empty() {
            writeln!(f, "search {}", self.search.join(" "))?;
        }
        if !self.options.is_empty() {
            writeln!(f, "options {}", self.options.join(" "))?;
        }
        Ok(())
    }
}

/// `192.0.2.1`, `2001:db8::1`, or a link-local address with its interface, `fe80::1%eth0`.
fn server(word: &str) -> Option<SocketAddr> {
    let Some((address, interface)) = word.split_once('%') else {
        return Some(SocketAddr::new(word.parse().ok()?, PORT));
    };
    let scope = interface.parse().ok().or_else(|| interface_index(interface))?;
    Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope).into())
}

fn interface_index(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

#[cfg(test)]
mod tests;
