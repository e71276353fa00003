//! Telling that somebody changed what is ours: subscriptions to both namespaces, whoever changed what.
//!
//! What is heard is only compared with what is known ([`crate::drift`]); nothing is decided here.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::Poll;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(crate) mod heard;
pub(crate) mod subscription;

/// Tells when there is something to hear for [`crate::Fabric::mend`]. As long as it lives, so does the fabric's
/// namespace.
pub struct Watch(Vec<AsyncFd<OwnedFd>>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl Watch {
    /// `sockets` are the subscriptions'; must be called inside a tokio runtime.
    pub(crate) fn new(sockets: Vec<OwnedFd>) -> io::Result<Self> {
        let register = |socket: OwnedFd| {
            // SAFETY: the descriptor is owned by what is registered, so it stays the same and open for as long.
            unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }
                .map_err(|refused| refused.into_parts().1)
        };
        Ok(Self(sockets.into_iter().map(register).collect::<io::Result<_>>()?))
    }

    /// Waits until something was said since the last call. It may have been ours.
    ///
    /// # Errors
    /// When the sockets can't be waited for any more.
    pub async fn news(&mut self) -> io::Result<()> {
        poll_fn(|context| {
            let mut said = Poll::Pending;
            for socket in &self.0 {
                match socket.poll_read_ready(context) {
                    // Whoever reads does so after this, so that what is said meanwhile is told anew.
                    Poll::Ready(Ok(mut guard)) => {
                        guard.clear_ready();
                        said = Poll::Ready(Ok(()));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
            }
            said
        })
        .await
    }
}
