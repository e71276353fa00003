//! Runs the planner's cluster loop: turns requests and reports into inputs, performs effects in their order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{EventKind, HostId, HostReport, InstanceUid, Moment, StackId};
use hoist_planner::Now;
use hoist_planner::cluster::{ClusterLoop, Effect, IdSource, ImageWanted, Input, OpId, StoreChange};
use hoist_wire::HostApi;
use tokio::sync::{mpsc, watch};

use crate::disk::Disk;
use crate::documents::{self, DocumentError};
use crate::operations::Operations;
use crate::publish::Outbox;
use crate::settle::Settling;
use crate::store::StateStore;

/// What the API reads: what is wanted and what was reported, as of the last input.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) stacks: Arc<BTreeMap<StackId, hoist_model::WantedStack>>,
    pub(crate) specs: Arc<BTreeMap<HostId, hoist_model::HostSpec>>,
    pub(crate) view: Arc<BTreeMap<HostId, HostReport>>,
}

/// How long until a write is tried again that waits for room on the disk.
const RETRY: Duration = Duration::from_millis(250);

/// Why the loop ended: nothing may be promised any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoopError {
    /// What was decided can't be stored.
    #[error("the orchestrator can't store what was decided")]
    Store(#[source] DocumentError),
    /// The thread that wrote to the store ended by a fault of its own.
    #[error("the orchestrator's write to the store broke off")]
    Write(#[source] tokio::task::JoinError),
}

/// The loop and everything that it acts through.
pub(crate) struct Shell {
    pub(crate) control: ClusterLoop,
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) host: Arc<dyn HostApi>,
    pub(crate) outbox: Outbox,
    pub(crate) operations: Operations,
    pub(crate) clock: Arc<dyn Fn() -> Now + Send + Sync>,
    pub(crate) inbox: mpsc::UnboundedSender<Input>,
    pub(crate) snapshot: watch::Sender<Snapshot>,
    pub(crate) wake: Option<Moment>,
}

/// Ids from the kernel's randomness, getrandom(2).
struct Random;

impl IdSource for Random {
    fn instance(&mut self) -> InstanceUid {
        let mut bytes = [0; 16];
        // Sixteen bytes are never cut short (getrandom(2)); were randomness missing, the process could do nothing useful.
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .expect("the kernel gives 16 random bytes");
        InstanceUid::from_bytes(bytes)
    }
}

impl Shell {
    /// Runs until every sender is gone.
    ///
    /// # Errors
    /// When the store fails otherwise than for want of room.
    pub(crate) async fn run(
        mut self,
        restored: Vec<Effect>,
        mut inputs: mpsc::UnboundedReceiver<Input>,
    ) -> Result<(), LoopError> {
        self.perform(restored).await?;
        loop {
            self.show();
            let input = tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => input,
                    None => return Ok(()),
                },
                () = tokio::time::sleep(self.until_wake()) => {
                    self.wake = None;
                    Input::Timer
                }
            };
            if self.is_withdrawn(&input) {
                continue;
            }
            let effects = self.control.step(&(self.clock)(), input, &mut Random);
            self.perform(effects).await?;
        }
    }

    /// Whoever asked for it was told that it won't be done.
    fn is_withdrawn(&self, input: &Input) -> bool {
        matches!(input, Input::Request { op, .. } if !self.operations.take(*op))
    }

    fn until_wake(&self) -> Duration {
        let Some(wake) = &self.wake else { return Duration::from_secs(3600) };
        wake.since(&(self.clock)().moment).unwrap_or_default()
    }

    fn show(&self) {
        let before = self.snapshot.borrow().clone();
        // Unchanged parts keep their allocation: a report changes the view only.
        let share = |old: &Arc<BTreeMap<_, _>>, new: &BTreeMap<_, _>| {
            if **old == *new { Arc::clone(old) } else { Arc::new(new.clone()) }
        };
        let stacks = share(&before.stacks, self.control.stacks());
        let specs = if *before.specs == *self.control.specs() {
            before.specs
        } else {
            Arc::new(self.control.specs().clone())
        };
        self.snapshot.send_replace(Snapshot { stacks, specs, view: Arc::new(self.control.view().clone()) });
    }

    /// Performs effects in order.
    async fn perform(&mut self, effects: Vec<Effect>) -> Result<(), LoopError> {
        for effect in effects {
            match effect {
                Effect::Store(change) => self.store(change).await?,
                Effect::ResolveImages { op, images } => self.resolve(op, images),
                Effect::PutSpec { spec, .. } => self.outbox.put_spec(*spec),
                Effect::PutEndpoints { endpoints, .. } => self.outbox.put_endpoints(*endpoints),
                Effect::Emit { op, event, .. } => self.emit(op, event),
                Effect::Refuse { op, refusal } => self.operations.refuse(op, refusal),
                Effect::WakeAt(moment) => self.wake = Some(moment),
            }
        }
        Ok(())
    }

    /// Writes a change. Nothing that follows may be done before it is durable, so on a full disk it is tried again:
    /// with a piece of the reserve each time, then until there is room.
    async fn store(&self, change: StoreChange) -> Result<(), LoopError> {
        let change = Arc::new(change);
        loop {
            let (store, writing) = (Arc::clone(&self.store), Arc::clone(&change));
            let written = tokio::task::spawn_blocking(move || documents::store(&*store, &writing));
            match written.await.map_err(LoopError::Write)? {
                Ok(()) => return Ok(()),
                Err(error) if !error.is_full() => return Err(LoopError::Store(error)),
                Err(_) if self.disk.give() => {}
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// A verdict goes out after the snapshot that it speaks of: whoever asks for `ps` after it sees no older state.
    fn emit(&self, op: OpId, event: EventKind) {
        if matches!(event, EventKind::Verdict(_)) {
            self.show();
        }
        self.operations.emit(op, event);
    }

    fn resolve(&self, op: OpId, images: Vec<ImageWanted>) {
        let settling = Settling {
            host: Arc::clone(&self.host),
            operations: self.operations.clone(),
            op,
            snapshot: self.snapshot.subscribe(),
        };
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let images = settling.all(images).await;
            let _ = inbox.send(Input::ImagesResolved { op, images });
        });
    }
}
