//! Datagrams: each client has a socket of its own towards the target, so that answers find their way back.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::datagram::{self, Path, Take};

/// A client that has heard nothing from the target for so long is forgotten, and begins anew with its next datagram: what
/// the kernel's connection tracking allows a flow of both directions (nf_conntrack_udp_timeout_stream).
const SILENCE: Duration = Duration::from_secs(120);
/// Clients at once, a descriptor each. Beyond that new ones are not served.
const MOST_CLIENTS: usize = 256;
/// The largest datagram (RFC 768).
const LONGEST: usize = 65_535;

/// Serves a socket until it is cancelled.
pub(super) async fn serve(socket: UdpSocket, target: SocketAddr) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<Path, Arc<UdpSocket>> = HashMap::new();
    // Ends its answers when this task is aborted.
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            received = receive(&socket) => {
                let Ok((packet, path)) = received else { continue };
                if !clients.contains_key(&path) && clients.len() < MOST_CLIENTS {
                    let Ok(towards) = connect(target).await else { continue };
                    let towards = Arc::new(towards);
                    clients.insert(path, Arc::clone(&towards));
                    answering.spawn(answer(Arc::clone(&socket), towards, path));
                }
                if let Some(towards) = clients.get(&path) {
                    // A target that is not there is told by silence, as with any datagram.
                    let _ = towards.send(&packet).await;
                }
            }
            Some(ended) = answering.join_next() => {
                if let Ok(path) = ended {
                    clients.remove(&path);
                }
            }
        }
    }
}

async fn receive(socket: &UdpSocket) -> io::Result<(Vec<u8>, Path)> {
    let read = || {
        datagram::receive(socket, Take::Off, LONGEST)
            .ok_or_else(|| io::Error::from(io::ErrorKind::WouldBlock))
    };
    let datagram = socket.async_io(Interest::READABLE, read).await?;
    Ok((datagram.packet, datagram.path))
}

async fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// Hands what the target says to the client, until it is silent for long; says which client it was.
async fn answer(socket: Arc<UdpSocket>, towards: Arc<UdpSocket>, path: Path) -> Path {
    let mut packet = vec![0; LONGEST];
    loop {
        match tokio::time::timeout(SILENCE, towards.recv(&mut packet)).await {
            Ok(Ok(length)) => drop(datagram::send(&*socket, &packet[..length], &path)),
            // The target refuses for now (ICMP); the client may try again.
            Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(_) => return path,
        }
    }
}
