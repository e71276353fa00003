//! A namespace with open sockets into it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::netlink::Socket;
use crate::netlink::link::Listed;
use crate::netlink::rtnl::Rtnl;
use crate::netns::{self, NetnsError};
use crate::nft;
use crate::side::Side;
use crate::watch::heard::Heard;
use crate::watch::subscription::Subscription;

/// One of the two namespaces, and the sockets through which it is changed.
#[derive(Debug)]
pub(crate) struct Place {
    netns: OwnedFd,
    sockets: Mutex<Sockets>,
    subscription: Mutex<Subscription>,
}

/// Sockets into one namespace, whichever thread uses them.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) route: Rtnl,
    pub(crate) nft: Socket,
}

impl Place {
    /// `table` is the name of our tables on that side.
    pub(crate) fn open(side: Side, netns: OwnedFd, table: String) -> Result<Self, NetnsError> {
        let open = move || -> io::Result<(Sockets, Subscription)> {
            let sockets = Sockets::here()?;
            let subscription = Subscription::open(side, sockets.nft.port(), table)?;
            Ok((sockets, subscription))
        };
        let opened = netns::enter(netns.as_fd(), open)?;
        let (sockets, subscription) = opened.map_err(no_sockets)?;
        Ok(Self { netns, sockets: Mutex::new(sockets), subscription: Mutex::new(subscription) })
    }

    /// Everything that was said of this namespace since the last call.
    pub(crate) fn hear(&self) -> Heard {
        self.subscription().heard()
    }

    /// Takes over what a listing of links says.
    pub(crate) fn learn(&self, links: &[Listed]) {
        self.subscription().learn(links);
    }

    /// Copies of the sockets that hear what changes.
    pub(crate) fn subscribed(&self) -> io::Result<[OwnedFd; 2]> {
        self.subscription().sockets()
    }

    fn subscription(&self) -> MutexGuard<'_, Subscription> {
        self.subscription.lock().unwrap_or_else(PoisonError::into_inner)
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
        netns::enter(netns, Self::here)?.map_err(no_sockets)
    }

    fn here() -> io::Result<Self> {
        Ok(Self { route: Rtnl::open()?, nft: nft::open()? })
    }
}

fn no_sockets(source: io::Error) -> NetnsError {
    NetnsError::Namespace { what: "open netlink sockets in", source }
}
