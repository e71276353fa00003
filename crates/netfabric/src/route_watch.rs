//! Telling that the host's addresses or routes changed, whoever changed them.

use std::fmt;
use std::io;

use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

/// `NETLINK_ROUTE`.
const ROUTE: isize = 0;
/// `RTNLGRP_*` of addresses and routes, as bits: `RTMGRP_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV6_IFADDR`, `_IPV6_ROUTE`.
const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;

/// A subscription to changes of the network that the opening thread is in.
pub struct RouteWatch(TokioSocket);

impl fmt::Debug for RouteWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouteWatch")
    }
}

impl RouteWatch {
    /// Subscribes; everything that changes from now on is told.
    ///
    /// # Errors
    /// When the kernel gives no socket.
    pub fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(ROUTE)?;
        socket.socket_mut().bind(&SocketAddr::new(0, GROUPS))?;
        Ok(Self(socket))
    }

    /// Waits for a change. Several at once may be told as one, and one as several.
    ///
    /// # Errors
    /// When the socket can't be read any more.
    pub async fn changed(&mut self) -> io::Result<()> {
        match self.0.recv_from_full().await {
            // More changed than there was room for.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}
