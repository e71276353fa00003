//! Drives the shell in a daemon: waits for inputs and the clock, and for the store to have what was decided.

use std::sync::Arc;
use std::time::Duration;

use hoist_model::InstanceUid;
use hoist_planner::Now;
use hoist_planner::cluster::{IdSource, Input, StoreChange};
use tokio::sync::mpsc;

use crate::disk::Disk;
use crate::documents::{self, DocumentError};
use crate::effects::ClusterEffects;
use crate::shell::Shell;
use crate::store::StateStore;

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

/// The shell, its clock, its store and the disk below that.
pub(crate) struct Run {
    pub(crate) shell: Shell<ClusterEffects>,
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Fn() -> Now + Send + Sync>,
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

impl Run {
    /// Runs until every sender is gone.
    ///
    /// # Errors
    /// When the store fails otherwise than for want of room.
    pub(crate) async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) -> Result<(), LoopError> {
        loop {
            while let Some(change) = self.shell.perform() {
                self.store(change).await?;
            }
            let input = tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => input,
                    None => return Ok(()),
                },
                () = tokio::time::sleep(self.until_wake()) => Input::Timer,
            };
            self.shell.turn(&(self.clock)(), input, &mut Random);
        }
    }

    fn until_wake(&self) -> Duration {
        let Some(wake) = self.shell.wake() else { return Duration::from_secs(3600) };
        wake.since(&(self.clock)().moment).unwrap_or_default()
    }

    /// Writes a change. Nothing that follows may be done before it is durable, so on a full disk it is tried again:
    /// with a piece of the reserve each time, then until there is room.
    async fn store(&self, change: Arc<StoreChange>) -> Result<(), LoopError> {
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
}
