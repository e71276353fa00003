//! Clients that rules can't serve: IPv6 clients of a target that has only an IPv4 address need another protocol on the
//! way. They reach the port's reservation socket; here they are heard, and their bytes copied to the target.
//!
//! Clients of other targets are translated by the kernel, those from `::1` included ([`crate::Op::AdmitLoopback`]).

mod packets;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use crate::datagram;
use crate::port;
use crate::spec::Protocol;

/// Serves one reservation until dropped; connections end with it.
#[derive(Debug)]
pub struct Splicer {
    task: JoinHandle<()>,
}

impl Splicer {
    /// Starts to serve a duplicate of a reservation. Must be called inside a tokio runtime whose threads are in the
    /// host's namespace.
    pub fn start(reservation: &OwnedFd, target: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        let socket = reservation.try_clone()?;
        // Before the filter goes: a connection must not wait for somebody who never comes.
        rustix::io::ioctl_fionbio(&socket, true)?;
        let task = match protocol {
            Protocol::Tcp => {
                port::admit(socket.as_fd())?;
                let listener = TcpListener::from_std(std::net::TcpListener::from(socket))?;
                tokio::spawn(stream::serve(listener, target))
            }
            Protocol::Udp => {
                datagram::note_local_addresses(&socket)?;
                port::admit(socket.as_fd())?;
                let socket = UdpSocket::from_std(std::net::UdpSocket::from(socket))?;
                tokio::spawn(packets::serve(socket, target))
            }
        };
        Ok(Self { task })
    }
}

impl Drop for Splicer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
