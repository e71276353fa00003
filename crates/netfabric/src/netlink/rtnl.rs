//! rtnetlink's handles, for callers that wait: the connection is polled by whoever asks, on the thread that asks.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_util::future::join_all;
use futures_util::stream::{Stream, StreamExt};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::proto::Connection;
use rtnetlink::{Error, Handle};

use super::KernelError;
use super::batch::BatchSocket;

/// A listing is interrupted when something changes meanwhile; it is then taken again, this often.
const DUMP_ATTEMPTS: usize = 10;
/// Requests that are sent together: their answers have room in a socket's buffer of the usual size, and `join_all` polls
/// so few futures in order.
const TOGETHER: usize = 30;

type Done = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// One change, and what it is meant to do.
pub(crate) struct Change {
    what: String,
    begin: Box<dyn FnOnce(&Handle) -> Done + Send>,
}

impl Change {
    /// `what` is an imperative (`add bridge br0`); `begin` builds rtnetlink's request and executes it.
    pub(crate) fn new<F>(what: impl Into<String>, begin: impl FnOnce(&Handle) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        Self { what: what.into(), begin: Box::new(|handle| Box::pin(begin(handle))) }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Change").field(&self.what).finish()
    }
}

/// A connection to the kernel's links, addresses, routes, rules and neighbours of one namespace, whichever thread uses
/// it.
pub(crate) struct Rtnl {
    connection: Connection<RouteNetlinkMessage, BatchSocket>,
    handle: Handle,
}

impl fmt::Debug for Rtnl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rtnl")
    }
}

impl Rtnl {
    /// Opens one in the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        // Without subscriptions nothing comes that wasn't asked for.
        let (connection, handle, _) = rtnetlink::new_connection_with_socket()?;
        Ok(Self { connection, handle })
    }

    /// Carries one change out.
    pub(crate) fn change(&mut self, change: Change) -> Result<(), KernelError> {
        self.changes(vec![change])
    }

    /// Carries changes out in order, each on its own, in one burst. The first failure is returned; those behind it were
    /// carried out all the same.
    pub(crate) fn changes(&mut self, changes: Vec<Change>) -> Result<(), KernelError> {
        let mut failure = Ok(());
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let burst: Vec<Change> = changes.by_ref().take(TOGETHER).collect();
            failure = failure.and(self.burst(burst));
        }
        failure
    }

    fn burst(&mut self, changes: Vec<Change>) -> Result<(), KernelError> {
        let count = changes.len();
        let (attempts, begun): (Vec<String>, Vec<Done>) =
            changes.into_iter().map(|change| (change.what, (change.begin)(&self.handle))).unzip();
        let outcomes = self.drive(count, join_all(begun));
        let outcomes = outcomes
            .map_err(|source| KernelError::new(attempts.first().cloned().unwrap_or_default(), source))?;
        let mut failures =
            attempts.into_iter().zip(outcomes).filter_map(|(what, outcome)| Some((what, outcome.err()?)));
        failures.next().map_or(Ok(()), |(what, error)| Err(KernelError::new(what, to_io(error))))
    }

    /// Asks once, and returns what the kernel has to say.
    pub(crate) fn ask<T, S>(
        &mut self,
        what: impl Into<String>,
        begin: impl FnOnce(&Handle) -> S,
    ) -> Result<Vec<T>, KernelError>
    where
        S: Stream<Item = Result<T, Error>>,
    {
        self.ask_once(begin).map_err(|source| KernelError::new(what, source))
    }

    /// Asks for a listing, again when it was interrupted.
    pub(crate) fn list<T, S>(
        &mut self,
        what: &str,
        begin: impl Fn(&Handle) -> S,
    ) -> Result<Vec<T>, KernelError>
    where
        S: Stream<Item = Result<T, Error>>,
    {
        let mut last = io::Error::other("the listing was interrupted every time");
        for _ in 0..DUMP_ATTEMPTS {
            let listed = self.ask_once(&begin).map_err(|source| KernelError::new(what, source))?;
            let dump = self.connection.socket_mut().dump();
            match dump.failed {
                None if !dump.interrupted => return Ok(listed),
                None => {}
                // The families say that a change came in between in either way.
                Some(libc::EINTR) => last = io::Error::from_raw_os_error(libc::EINTR),
                Some(errno) => return Err(KernelError::new(what, io::Error::from_raw_os_error(errno))),
            }
        }
        Err(KernelError::new(what, last))
    }

    fn ask_once<T, S>(&mut self, begin: impl FnOnce(&Handle) -> S) -> io::Result<Vec<T>>
    where
        S: Stream<Item = Result<T, Error>>,
    {
        let answers = begin(&self.handle);
        let answers: Vec<Result<T, Error>> = self.drive(1, answers.collect())?;
        answers.into_iter().collect::<Result<_, _>>().map_err(to_io)
    }

    /// Polls `work`, which begins with `requests` requests, and the connection, until the work is done.
    fn drive<T>(&mut self, requests: usize, work: impl Future<Output = T>) -> io::Result<T> {
        let mut work = pin!(work);
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
            return Ok(done);
        }
        // The connection passes one request on each time it is polled.
        for _ in 0..requests {
            self.poll_connection(&mut context)?;
        }
        self.connection.socket_mut().send_queued()?;
        loop {
            self.poll_connection(&mut context)?;
            if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
                return Ok(done);
            }
            self.connection.socket_mut().wait()?;
        }
    }

    fn poll_connection(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match Pin::new(&mut self.connection).poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::other("the connection to the kernel has ended")),
        }
    }
}

/// What the kernel answered, as an error number.
fn to_io(error: Error) -> io::Error {
    match error {
        Error::NetlinkError(answer) => answer.to_io(),
        error => io::Error::other(error),
    }
}
