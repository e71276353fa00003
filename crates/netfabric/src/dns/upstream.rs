//! Which servers are asked for a name the fabric does not have, and in which order.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::file_identity::FileIdentity;
use super::resolv_conf::ResolvConf;
use super::zone::Upstream;

const PORT: u16 = 53;

/// A server that let a question time out is asked after the others for this long, so that one dead
/// resolver costs one question its time-out and not every question.
const DEMOTED_FOR: Duration = Duration::from_secs(30);

/// How often the host's file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the host's resolvers come from.
#[derive(Clone, Debug)]
pub enum Resolvers {
    /// A resolv.conf, read again when it changes. It may be a symbolic link (systemd-resolved), so
    /// what it leads to is compared, once a second at most.
    File(PathBuf),
    List(Vec<SocketAddr>),
}

/// Chooses servers.
#[derive(Debug)]
pub(super) struct Servers {
    resolvers: Resolvers,
    host: Vec<SocketAddr>,
    seen: Option<FileIdentity>,
    looked: Option<Instant>,
    demoted: HashMap<SocketAddr, Instant>,
}

impl Servers {
    pub(super) fn new(resolvers: Resolvers) -> Self {
        let host = match &resolvers {
            Resolvers::List(servers) => servers.clone(),
            Resolvers::File(_) => ResolvConf::default().servers_or_local(),
        };
        Self { resolvers, host, seen: None, looked: None, demoted: HashMap::new() }
    }

    /// The servers to ask, best first, without those in `ours`: what we forwarded to ourselves would
    /// come back for ever.
    pub(super) fn choose(&mut self, upstream: &Upstream, ours: &[IpAddr], now: Instant) -> Vec<SocketAddr> {
        self.refresh(now);
        let mut servers: Vec<SocketAddr> = match upstream {
            Upstream::Host => self.host.clone(),
            Upstream::Servers(list) => list.iter().map(|ip| SocketAddr::new(*ip, PORT)).collect(),
            Upstream::Nobody => Vec::new(),
        };
        servers.retain(|server| !ours.contains(&server.ip()));
        self.demoted.retain(|_, until| *until > now);
        servers.sort_by_key(|server| self.demoted.contains_key(server));
        servers
    }

    pub(super) fn timed_out(&mut self, server: SocketAddr, now: Instant) {
        self.demoted.insert(server, now + DEMOTED_FOR);
    }

    pub(super) fn answered(&mut self, server: SocketAddr) {
        self.demoted.remove(&server);
    }

    fn refresh(&mut self, now: Instant) {
        let Resolvers::File(path) = &self.resolvers else { return };
        if self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK_EVERY) {
            return;
        }
        self.looked = Some(now);
        let found = FileIdentity::of(path);
        if found.is_some() && found == self.seen {
            return;
        }
        // A file being rewritten may be gone for a moment: what was known stays.
        if let Ok(text) = std::fs::read_to_string(path) {
            self.seen = found;
            self.host = ResolvConf::parse(&text).servers_or_local();
        }
    }
}

#[cfg(test)]
mod tests;
