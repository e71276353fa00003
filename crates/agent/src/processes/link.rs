//! The agent's line to the keeper: requests from any task, answers matched by number, events to one receiver.
//!
//! Owns one connection at a time and its reading thread. Who starts the keeper, and what is done when it is lost, is
//! in `keeper_watch`.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hoist_keeper::client;
use hoist_keeper::protocol::frame::{self, Packet};
use hoist_keeper::protocol::{Event, Message, Numbered, Refusal, Reply, Request};
use tokio::sync::{mpsc, oneshot};

/// How often it is looked whether the connection is gone.
const LOOK: Duration = Duration::from_millis(2);

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// There is no connection now.
    #[error("the keeper is not there")]
    Lost,
    /// The request could not be sent.
    #[error("can't reach the keeper")]
    Send(#[source] io::Error),
    /// The keeper did not do it.
    #[error("the keeper refused: {message}")]
    Refused {
        /// What kind of refusal.
        why: Refusal,
        /// In words.
        message: String,
    },
}

/// Something from the keeper that nobody asked for.
#[derive(Debug)]
pub(crate) enum FromKeeper {
    /// An event, with its descriptors.
    Event(Event, Vec<OwnedFd>),
    /// The connection is gone.
    Lost,
    /// What is known of its instances is to be compared anew.
    Doubt,
}

type Answer = (Reply, Vec<OwnedFd>);

#[derive(Debug, Default)]
struct Line {
    socket: Option<Arc<OwnedFd>>,
    /// Set when the agent is about to end: then a lost connection is expected and not reported.
    leaving: bool,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
}

/// The line. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    line: Arc<Mutex<Line>>,
    next: Arc<AtomicU64>,
    events: mpsc::UnboundedSender<FromKeeper>,
}

impl Link {
    /// A line that isn't connected yet, and where its events come out.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<FromKeeper>) {
        let (events, receiver) = mpsc::unbounded_channel();
        // Number 1 is the client's hello.
        (Self { line: Arc::default(), next: Arc::new(AtomicU64::new(2)), events }, receiver)
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects as the agent that the keeper restarts; returns the keeper's process id.
    ///
    /// A keeper that is stopped says nothing for a while: that is waited for on a thread for it.
    pub(crate) async fn connect(&self, path: &Path) -> Result<i32, client::ConnectError> {
        let path = path.to_owned();
        let connected = tokio::task::spawn_blocking(move || client::connect(&path)).await;
        let broken = |error: tokio::task::JoinError| client::ConnectError::Silent(io::Error::other(error));
        let (client, welcome) = connected.map_err(broken)??;
        let socket = client.as_fd().try_clone_to_owned().map_err(client::ConnectError::Unreachable)?;
        let socket = Arc::new(socket);
        if let Some(former) = self.lock().socket.replace(Arc::clone(&socket)) {
            // Its reader ends with it.
            let _ = rustix::net::shutdown(&*former, rustix::net::Shutdown::Both);
        }
        let link = self.clone();
        std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || link.read(&socket))
            .map_err(client::ConnectError::Unreachable)?;
        Ok(welcome.pid)
    }

    /// From now on a keeper that ends was told to: nobody starts another one.
    pub(crate) fn leave(&self) {
        self.lock().leaving = true;
    }

    /// Waits until the connection is gone.
    pub(crate) async fn until_lost(&self) {
        while self.lock().socket.is_some() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Has what is known compared with what the keeper keeps.
    pub(crate) fn doubt(&self) {
        let _ = self.events.send(FromKeeper::Doubt);
    }

    fn read(&self, socket: &Arc<OwnedFd>) {
        while let Ok(Some(frame)) = frame::receive(socket.as_fd()) {
            match serde_json::from_slice(&frame.bytes) {
                Ok(Message::Reply { id, reply }) => {
                    if let Some(caller) = self.lock().waiting.remove(&id) {
                        let _ = caller.send((reply, frame.fds));
                    }
                }
                Ok(Message::Event(event)) => {
                    let _ = self.events.send(FromKeeper::Event(event, frame.fds));
                }
                // A newer keeper may say more than we know.
                Ok(Message::Unknown) | Err(_) => {}
            }
        }
        let mut line = self.lock();
        // The end of a line that another has replaced is no news.
        if !line.socket.as_ref().is_some_and(|current| Arc::ptr_eq(current, socket)) {
            return;
        }
        line.socket = None;
        // Dropping the senders tells every caller that its answer won't come.
        line.waiting.clear();
        let leaving = line.leaving;
        drop(line);
        if !leaving {
            let _ = self.events.send(FromKeeper::Lost);
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call(&self, request: Request, fds: Vec<OwnedFd>) -> Result<Answer, LinkError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let packet = Packet::new(&Numbered { id, request }, fds).map_err(LinkError::Send)?;
        let (sender, answer) = oneshot::channel();
        let socket = {
            let mut line = self.lock();
            let socket = line.socket.clone().ok_or(LinkError::Lost)?;
            line.waiting.insert(id, sender);
            socket
        };
        // The keeper never waits, so its queue is never full for long: sending may block for a moment only.
        if let Err(error) = packet.send(socket.as_fd()) {
            self.lock().waiting.remove(&id);
            return Err(LinkError::Send(error));
        }
        match answer.await.map_err(|_| LinkError::Lost)? {
            (Reply::Refused { why, message }, _) => Err(LinkError::Refused { why, message }),
            answer => Ok(answer),
        }
    }

    /// Sends a request that has nothing to answer but that it was done.
    pub(crate) async fn tell(&self, request: Request, fds: Vec<OwnedFd>) -> Result<(), LinkError> {
        self.call(request, fds).await.map(drop)
    }
}
