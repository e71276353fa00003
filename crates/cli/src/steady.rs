//! Streams that outlive an agent: when it is killed, the keeper starts another, and reading goes on where it stood.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hoist_model::{StackId, WallTime};
use hoist_wire::{
    ApiError, Client, ClusterApi, ErrorKind, LogLine, LogStream, LogsRequest, StackStatus, StatusStream,
};
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::connect;

/// Items that may wait for the reader.
const QUEUE: usize = 64;
/// How often, and how long apart, a new agent is asked before it is given up.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// An agent by its root: whichever process it is now.
pub(crate) struct Steady {
    root: PathBuf,
    client: Mutex<Arc<Client>>,
}

impl Steady {
    pub(crate) fn new(root: PathBuf, client: Arc<Client>) -> Arc<Self> {
        Arc::new(Self { root, client: Mutex::new(client) })
    }

    async fn client(&self) -> Arc<Client> {
        Arc::clone(&*self.client.lock().await)
    }

    /// Another connection in place of a broken one; whoever comes first makes it for all.
    pub(crate) async fn again(&self, broken: &Arc<Client>) -> Result<Arc<Client>, ApiError> {
        let mut client = self.client.lock().await;
        if Arc::ptr_eq(&client, broken) {
            let made = connect::connect(&self.root).await;
            *client = Arc::new(made.map_err(|error| ApiError::new(ErrorKind::Unavailable, error.message))?);
        }
        Ok(Arc::clone(&client))
    }

    /// The stack at each change, until it is gone.
    pub(crate) fn watch(self: &Arc<Self>, id: StackId) -> StatusStream {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let steady = Arc::clone(self);
        tokio::spawn(async move {
            let result = steady.watch_into(&id, &sender).await;
            if let Err(error) = result {
                let _ = sender.send(Err(error)).await;
            }
        });
        Box::pin(ReceiverStream::new(receiver))
    }

    async fn watch_into(
        &self,
        id: &StackId,
        sink: &mpsc::Sender<Result<StackStatus, ApiError>>,
    ) -> Result<(), ApiError> {
        let mut client = self.client().await;
        let mut attempts = 0;
        loop {
            let mut broken = None;
            match client.watch(id.clone()).await {
                Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
                Err(error) => broken = Some(error),
                Ok(mut stream) => {
                    while let Some(item) = stream.next().await {
                        match item {
                            Ok(status) => {
                                attempts = 0;
                                if sink.send(Ok(status)).await.is_err() {
                                    return Ok(());
                                }
                            }
                            Err(error) => {
                                broken = Some(error);
                                break;
                            }
                        }
                    }
                }
            }
            let Some(error) = broken else { return Ok(()) };
            client = self.recover(error, &client, &mut attempts).await?;
        }
    }

    /// One instance's log; a line is never read twice, and none is left out.
    pub(crate) fn logs(self: &Arc<Self>, request: LogsRequest) -> LogStream {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let steady = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = steady.logs_into(request, &sender).await {
                let _ = sender.send(Err(error)).await;
            }
        });
        Box::pin(ReceiverStream::new(receiver))
    }

    async fn logs_into(
        &self,
        mut request: LogsRequest,
        sink: &mpsc::Sender<Result<LogLine, ApiError>>,
    ) -> Result<(), ApiError> {
        let mut client = self.client().await;
        let mut position = Position::default();
        let mut attempts = 0;
        loop {
            let mut skip = position.count;
            let broken = match client.logs(request.clone()).await {
                Err(error) => error,
                Ok(mut stream) => loop {
                    match stream.next().await {
                        None => return Ok(()),
                        Some(Err(error)) => break error,
                        // What was told is not told again by the next agent.
                        Some(Ok(line)) if line.end.is_some() => {
                            request.ends_after = line.end.map(|end| end.attempt);
                            if sink.send(Ok(line)).await.is_err() {
                                return Ok(());
                            }
                        }
                        Some(Ok(line)) if skip > 0 && position.time == Some(line.time) => skip -= 1,
                        Some(Ok(line)) => {
                            attempts = 0;
                            position.pass(line.time);
                            if sink.send(Ok(line)).await.is_err() {
                                return Ok(());
                            }
                        }
                    }
                },
            };
            client = self.recover(broken, &client, &mut attempts).await?;
            if let Some(time) = position.time {
                (request.since, request.tail) = (Some(time), None);
            }
        }
    }

    /// A connection to go on with, when the error says that the agent went away.
    async fn recover(
        &self,
        error: ApiError,
        client: &Arc<Client>,
        attempts: &mut u32,
    ) -> Result<Arc<Client>, ApiError> {
        *attempts += 1;
        if error.kind != ErrorKind::Unavailable || *attempts > ATTEMPTS {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
        self.again(client).await
    }
}

/// Where reading a log stands: the last line's time, and how many lines of that time have been read.
#[derive(Debug, Default)]
struct Position {
    time: Option<WallTime>,
    count: usize,
}

impl Position {
    fn pass(&mut self, time: WallTime) {
        self.count = if self.time == Some(time) { self.count + 1 } else { 1 };
        self.time = Some(time);
    }
}
