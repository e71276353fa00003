//! Clients that rules can't serve.
//!
//! A connection from `::1` can't leave the host under any source address that would come back, and an
//! IPv6 client of a service that has only an IPv4 address needs another protocol on the way. Both reach
//! the port's reservation socket; here they are accepted, and their bytes copied to the target. TCP only.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::port;

/// How long to wait after a failed `accept`, which usually means that descriptors ran out.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Serves one reservation until dropped; connections end with it.
#[derive(Debug)]
pub struct Splicer {
    task: JoinHandle<()>,
}

impl Splicer {
    /// Starts to accept on a duplicate of a TCP reservation. Must be called inside a tokio runtime whose
    /// threads are in the host's namespace.
    pub fn start(reservation: &OwnedFd, target: SocketAddr) -> io::Result<Self> {
        let socket = reservation.try_clone()?;
        // Before the filter goes: a connection must not wait for somebody who never comes.
        rustix::io::ioctl_fionbio(&socket, true)?;
        port::admit(socket.as_fd())?;
        let listener = TcpListener::from_std(std::net::TcpListener::from(socket))?;
        Ok(Self { task: tokio::spawn(serve(listener, target)) })
    }
}

impl Drop for Splicer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, target: SocketAddr) {
    // Ends its connections when this task is aborted.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => drop(connections.spawn(copy(client, target))),
                Err(_) => tokio::time::sleep(AFTER_FAILURE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A failure ends the connection, which is all that the client could be told.
async fn copy(mut client: TcpStream, target: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
