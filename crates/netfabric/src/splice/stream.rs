//! Connections: accepted here, their bytes copied both ways.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How long to wait after a failed `accept`, which usually means that descriptors ran out.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Serves a listener until it is cancelled; its connections end with it.
pub(super) async fn serve(listener: TcpListener, target: SocketAddr) {
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
