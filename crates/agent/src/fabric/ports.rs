//! Reservations of host ports: a socket each, bound before a port is promised, held by agent and keeper. The keeper's
//! name for one says which port it is, so that an agent that starts anew finds all again.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use hoist_keeper::protocol::{Reply, Request};
use hoist_model::{Port, PublishedReport};
use hoist_netfabric as net;
use hoist_planner::host::{PublishKey, PublishWanted, StepError};
use serde::{Deserialize, Serialize};

use super::convert::{protocol, reach};
use crate::chain::chain;
use crate::outcome::{failed, refused};
use crate::processes::link::Link;

const PREFIX: &str = "port ";

/// All reservations, and refusals.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    held: BTreeMap<PublishKey, Reservation>,
    refused: BTreeMap<PublishKey, StepError>,
}

#[derive(Debug)]
struct Reservation {
    port: u16,
    /// One for each family.
    sockets: Vec<OwnedFd>,
    /// Accepts what can't be translated: IPv6 clients of an IPv4 target.
    splicer: Option<(SocketAddr, net::Splicer)>,
}

impl Reservation {
    fn copies(&self) -> Vec<OwnedFd> {
        self.sockets.iter().filter_map(|socket| socket.try_clone().ok()).collect()
    }

    /// Starts, changes or ends the splicer, as the targets say.
    fn splice(&mut self, key: &PublishKey, wanted: &PublishWanted) {
        let six = wanted.targets.iter().any(SocketAddr::is_ipv6);
        let four = wanted.targets.iter().find(|target| target.is_ipv4()).filter(|_| !six);
        let Some(target) = four else {
            self.splicer = None;
            return;
        };
        if self.splicer.as_ref().is_some_and(|(now, _)| now == target) {
            return;
        }
        let v6 = |socket: &&OwnedFd| {
            rustix::net::getsockname(socket)
                .ok()
                .and_then(|name| SocketAddr::try_from(name).ok())
                .is_some_and(|name| name.is_ipv6())
        };
        self.splicer = None;
        let Some(socket) = self.sockets.iter().find(v6) else { return };
        match net::Splicer::start(socket, *target, protocol(key.port.protocol)) {
            Ok(splicer) => self.splicer = Some((*target, splicer)),
            Err(error) => tracing::warn!("port {} is not published for IPv6: {error}", self.port),
        }
    }
}

/// What the keeper's name for a reservation says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Label {
    key: PublishKey,
    port: u16,
}

fn name(key: &PublishKey, port: u16) -> String {
    let label = serde_json::to_string(&Label { key: key.clone(), port });
    format!("{PREFIX}{}", label.expect("a label holds only what JSON can hold"))
}

impl Reservations {
    /// Those that the keeper holds.
    pub(super) async fn restore(link: &Link) -> Self {
        let mut found = Self::default();
        let Ok((Reply::Held { names }, _)) = link.call(Request::ListHeld, Vec::new()).await else {
            return found;
        };
        for held in names {
            let label = held.strip_prefix(PREFIX).and_then(|label| serde_json::from_str::<Label>(label).ok());
            let Some(Label { key, port }) = label else { continue };
            if let Ok((Reply::Taken, fds)) = link.call(Request::Take { name: held }, Vec::new()).await
                && !fds.is_empty()
            {
                found.held.insert(key, Reservation { port, sockets: fds, splicer: None });
            }
        }
        found
    }

    /// Reserves what is wanted and not reserved yet, lets go of what is wanted no more. Letting go comes first: a port
    /// may go from one service to another.
    pub(super) async fn agree(&mut self, wanted: &BTreeMap<PublishKey, PublishWanted>, link: &Link) {
        let gone: Vec<PublishKey> =
            self.held.keys().filter(|key| !wanted.contains_key(key)).cloned().collect();
        for key in gone {
            if let Some(reservation) = self.held.remove(&key) {
                tracing::info!(stack = %key.stack, service = %key.service, port = reservation.port, "port released");
                let _ = link.tell(Request::Drop { name: name(&key, reservation.port) }, Vec::new()).await;
            }
        }
        let refused_before = std::mem::take(&mut self.refused);
        for (key, publish) in wanted {
            if let Some(reservation) = self.held.get_mut(key) {
                reservation.splice(key, publish);
                continue;
            }
            match reserve(&key.port) {
                Ok(mut reservation) => {
                    let (stack, service, target) = (&key.stack, &key.service, key.port.target);
                    tracing::info!(%stack, %service, port = reservation.port, target, "port reserved");
                    reservation.splice(key, publish);
                    let hold = Request::Hold { name: name(key, reservation.port) };
                    let _ = link.tell(hold, reservation.copies()).await;
                    self.held.insert(key.clone(), reservation);
                }
                Err(refusal) => {
                    // It is tried again at each look; the log has it once.
                    if refused_before.get(key) != Some(&refusal) {
                        let (stack, service) = (&key.stack, &key.service);
                        tracing::warn!(%stack, %service, error = refusal.what, "port can't be reserved");
                    }
                    self.refused.insert(key.clone(), refusal);
                }
            }
        }
    }

    /// Gives a keeper that was restarted all of them.
    pub(super) async fn keep(&self, link: &Link) {
        for (key, reservation) in &self.held {
            let _ =
                link.tell(Request::Hold { name: name(key, reservation.port) }, reservation.copies()).await;
        }
    }

    /// Lets go of all.
    pub(super) async fn release(&mut self, link: &Link) {
        for (key, reservation) in std::mem::take(&mut self.held) {
            let _ = link.tell(Request::Drop { name: name(&key, reservation.port) }, Vec::new()).await;
        }
    }

    /// The host port of each.
    pub(super) fn ports(&self) -> BTreeMap<PublishKey, u16> {
        self.held.iter().map(|(key, reservation)| (key.clone(), reservation.port)).collect()
    }

    /// What became of each wanted port.
    pub(super) fn seen(&self) -> BTreeMap<PublishKey, Result<PublishedReport, StepError>> {
        let report = |key: &PublishKey, port| PublishedReport {
            port: Port { published: Some(port), ..key.port.clone() },
            reach: reach(key.port.host_ip),
        };
        let held = self.held.iter().map(|(key, held)| (key.clone(), Ok(report(key, held.port))));
        let refused = self.refused.iter().map(|(key, refusal)| (key.clone(), Err(refusal.clone())));
        held.chain(refused).collect()
    }
}

/// Binds the port on its address, or on every address of both families; a port that the host chooses is the same for
/// both.
fn reserve(port: &Port) -> Result<Reservation, StepError> {
    let refuse = |error: net::ReserveError| {
        refused(chain(&error), "stop what uses the port, or publish another one under `ports:`")
    };
    let protocol = protocol(port.protocol);
    let addresses = match port.host_ip.filter(|ip| !ip.is_unspecified()) {
        Some(address) => vec![address],
        None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
    };
    let mut reservation =
        Reservation { port: port.published.unwrap_or(0), sockets: Vec::new(), splicer: None };
    for address in addresses {
        let Some(socket) = net::reserve(address, reservation.port, protocol).map_err(refuse)? else {
            continue;
        };
        if reservation.port == 0 {
            let name = rustix::net::getsockname(&socket).map_err(|error| failed(&error))?;
            reservation.port = SocketAddr::try_from(name).map_err(|error| failed(&error))?.port();
        }
        reservation.sockets.push(socket);
    }
    Ok(reservation)
}

#[cfg(test)]
mod tests {
    use hoist_goldens::Golden;
    use hoist_model::Protocol;

    use super::*;

    /// The keeper holds names that an earlier release gave.
    #[test]
    fn labels_of_former_releases_are_read() {
        let key = PublishKey {
            stack: "shop@pr-12".parse().unwrap(),
            service: "web".parse().unwrap(),
            port: Port {
                host_ip: Some([127, 0, 0, 1].into()),
                published: Some(8080),
                target: 80,
                protocol: Protocol::Tcp,
            },
            slot: Some(1),
        };
        let label = Label { key, port: 8080 };
        let golden = Golden::new(env!("CARGO_MANIFEST_DIR"), "v1/port-label.json");
        golden.is_written_for(&label);
        golden.reads_as(&label);
        golden.bends_as_ever::<Label>();
    }
}
