//! How the rest of the agent speaks to the host loop.

use hoist_model::{Endpoints, HostSpec};
use hoist_planner::host::Input;
use hoist_wire::PutSpecError;
use tokio::sync::{mpsc, oneshot};

/// What the loop is told.
#[derive(Debug)]
pub enum Message {
    /// Something happened.
    Input(Input),
    /// A spec to accept, and who waits for the answer.
    PutSpec(Box<HostSpec>, oneshot::Sender<Result<(), PutSpecError>>),
    /// Endpoints to accept.
    PutEndpoints(Box<Endpoints>, oneshot::Sender<Result<(), PutSpecError>>),
    /// Do nothing for now: the agent is likely to end. Answered once steps under way have ended.
    Rest(oneshot::Sender<Rest>),
}

/// The loop does nothing while this is kept; dropped, it never does anything again.
#[derive(Debug)]
pub struct Rest(oneshot::Sender<()>);

impl Rest {
    /// Kept by whoever asked for it; the loop waits at the other end of `end`.
    pub(super) fn new(end: oneshot::Sender<()>) -> Self {
        Self(end)
    }

    /// Lets the loop go on as if nothing had been asked.
    pub(crate) fn end(self) {
        let _ = self.0.send(());
    }
}

/// How the rest of the agent speaks to the loop.
pub(crate) type Inbox = mpsc::UnboundedSender<Message>;
