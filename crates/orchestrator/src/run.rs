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
        let mut next = None;
        loop {
            while let Some(change) = self.shell.perform() {
                self.store(change).await?;
            }
            let input = tokio::select! {
                input = first(&mut next, &mut inputs) => match input {
                    Some(input) => input,
                    None => return Ok(()),
                },
                () = tokio::time::sleep(self.until_wake()) => Input::Timer,
            };
            let input = newest(input, &mut next, &mut inputs);
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

/// What was taken already, else what comes. Cancel-safe: nothing is taken without being given.
async fn first(next: &mut Option<Input>, inputs: &mut mpsc::UnboundedReceiver<Input>) -> Option<Input> {
    match next.take() {
        Some(input) => Some(input),
        None => inputs.recv().await,
    }
}

/// The input, or the last of the reports that follow it at once from the same host: a report is whole, so the last one
/// says all. What comes behind them is taken next.
fn newest(mut input: Input, next: &mut Option<Input>, inputs: &mut mpsc::UnboundedReceiver<Input>) -> Input {
    while let Input::Report(report) = &input {
        match next.take().or_else(|| inputs.try_recv().ok()) {
            Some(Input::Report(later)) if later.host == report.host => input = Input::Report(later),
            other => {
                *next = other;
                break;
            }
        }
    }
    input
}

#[cfg(test)]
mod tests {
    use hoist_model::{BootId, Generation, Guards, HostId, HostReport, Moment};

    use super::*;

    fn report(host: &str, epoch: u64) -> Input {
        let boot = BootId("boot".to_owned());
        Input::Report(Box::new(HostReport {
            host: HostId::new(host).expect("a host's name"),
            epoch,
            generation: Generation::default(),
            settled: true,
            instances: [].into(),
            networks: [].into(),
            volumes: Vec::new(),
            routes: Vec::new(),
            failures: Vec::new(),
            seen_at: Moment { boot: boot.clone(), since_boot: Duration::ZERO },
            memory: None,
            guards: Guards::default(),
            boot,
        }))
    }

    #[tokio::test]
    async fn of_reports_that_wait_the_last_one_of_a_host_is_taken_in() {
        let (inbox, mut inputs) = mpsc::unbounded_channel();
        for input in [report("a", 1), report("a", 2), report("b", 1), Input::PruneVolumes, report("b", 2)] {
            inbox.send(input).expect("somebody receives");
        }
        drop(inbox);
        let (mut next, mut taken) = (None, Vec::new());
        while let Some(input) = first(&mut next, &mut inputs).await {
            taken.push(newest(input, &mut next, &mut inputs));
        }
        let expected = [report("a", 2), report("b", 1), Input::PruneVolumes, report("b", 2)];
        assert_eq!(format!("{taken:?}"), format!("{expected:?}"));
    }
}
