//! Drives the shell in an agent: waits for messages and the clock, and for the disk to have what must be durable.

use std::time::{Duration, Instant};

use hoist_planner::host::Input;
use tokio::sync::{mpsc, oneshot};

use super::clock::Clock;
use super::effects::HostEffects;
use super::inbox::{Message, Rest};
use super::records::{RecordError, Records};
use super::shell::Shell;

/// How long a step under way may take when the agent is to do nothing any more.
const LAST_STEPS: Duration = Duration::from_secs(15);

/// A round that takes longer is one over many instances.
const SHORT: Duration = Duration::from_millis(2);
/// The longest pause after a long one.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// The shell, its clock and its disk.
pub(crate) struct Run {
    pub(crate) shell: Shell<HostEffects>,
    pub(crate) records: Records,
    pub(crate) clock: Clock,
}

impl Run {
    /// Runs until every sender is gone.
    ///
    /// # Errors
    /// What must be durable can't be made so: nothing may be done any more.
    pub(crate) async fn run(
        mut self,
        mut messages: mpsc::UnboundedReceiver<Message>,
    ) -> Result<(), RecordError> {
        self.perform().await?;
        loop {
            let message = tokio::select! {
                // Both are cancel-safe: a message is taken or not, and the timer is set anew each time.
                message = messages.recv() => match message {
                    Some(message) => message,
                    None => return Ok(()),
                },
                () = tokio::time::sleep(self.until_wake()) => Message::Input(Input::Timer),
            };
            let (batch, rest) = take_all(message, &mut messages);
            let began = Instant::now();
            self.shell.turn(&self.clock.now(), batch);
            self.perform().await?;
            collect(began.elapsed()).await;
            if let Some(rested) = rest {
                // One of them may be launching something, which whoever asked for rest must find.
                let _ = tokio::time::timeout(LAST_STEPS, self.shell.effects().until_steps_end()).await;
                let (end, ended) = oneshot::channel();
                // Whoever asked may have given up while the loop waited for room on the disk: it goes on then.
                if rested.send(Rest::new(end)).is_ok() && ended.await.is_err() {
                    // Messages go on coming in; nobody acts on them.
                    while messages.recv().await.is_some() {}
                    return Ok(());
                }
            }
        }
    }

    fn until_wake(&self) -> Duration {
        let Some(wake) = self.shell.wake() else { return Duration::from_secs(3600) };
        wake.since(&self.clock.now().moment).unwrap_or_default()
    }

    /// Performs everything that the loop asked for.
    async fn perform(&mut self) -> Result<(), RecordError> {
        while let Some(records) = self.shell.perform() {
            self.records.keep(records).await?;
            self.shell.kept();
        }
        Ok(())
    }
}

/// Each round looks at all instances. While five hundred come up, one for each that gets on would take the processor from
/// those: so after a long round, what happens within as much time again is taken in together.
async fn collect(took: Duration) {
    if took >= SHORT {
        tokio::time::sleep(took.min(LONGEST_PAUSE)).await;
    }
}

/// Everything that is there by now, up to a wish to rest.
fn take_all(
    first: Message,
    messages: &mut mpsc::UnboundedReceiver<Message>,
) -> (Vec<Message>, Option<oneshot::Sender<Rest>>) {
    let mut batch = Vec::new();
    let mut next = Some(first);
    while let Some(message) = next {
        match message {
            Message::Rest(rested) => return (batch, Some(rested)),
            message => batch.push(message),
        }
        next = messages.try_recv().ok();
    }
    (batch, None)
}
