//! A namespace with open sockets into it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::netlink::Socket;
use crate::netlink::rtnl::Rtnl;
use crate::netns::{self, NetnsError};
use crate::nft;

/// One of the two namespaces, and the sockets through which it is changed.
#[derive(Debug)]
pub(crate) struct Place {
    netns: OwnedFd,
    sockets: Mutex<Sockets>,
}

/// Sockets into one namespace, whichever thread uses them.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) route: Rtnl,
    pub(crate) nft: Socket,
}

impl Place {
    pub(crate) fn open(netns: OwnedFd) -> Result<Self, NetnsError> {
        let sockets = Mutex::new(Sockets::open(netns.as_fd())?);
        Ok(Self { netns, sockets })
    }

    pub(crate) fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    /// The sockets, for one exchange. A panic elsewhere leaves at most unread answers, which are told
    /// apart by their numbers.
    pub(crate) fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sockets {
    pub(crate) fn open(netns: BorrowedFd<'_>) -> Result<Self, NetnsError> {
        let open = || -> io::Result<Self> { Ok(Self { route: Rtnl::open()?, nft: nft::open()? }) };
        netns::enter(netns, open)?
            .map_err(|source| NetnsError::Namespace { what: "open netlink sockets in", source })
    }
}
