//! A [`ClusterApi`] at the other end of a Unix socket.

mod build;
mod images;

use std::path::Path;

use async_trait::async_trait;
use futures_util::StreamExt;
use hoist_model::{InstanceUid, Preview, ServiceName, Slot, StackId, WallTime};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Response, Status, Streaming};

use crate::cluster::StatusStream;
use crate::document::{from_status, open, seal};
use crate::v1::builds_client::BuildsClient;
use crate::v1::cluster_client::ClusterClient;
use crate::v1::images_client::ImagesClient;
use crate::v1::{self, Document, ExecIn, ExecOut, exec_in, exec_out};
use crate::{
    AgentStatus, ApiError, ClusterApi, Diff, Down, ErrorKind, EventStream, ExecInput, ExecOutput,
    ExecRequest, ExecSession, FieldDifference, Items, LogLine, LogStream, LogsRequest, Plan, PutStack,
    Restart, Rollback, RollbackPreview, Signal, SocketPath, StackHistory, StackStatus, Start, Stop,
};

const MESSAGE_LIMIT: usize = 64 << 20;
/// Inputs of an exec that may wait for the network; beyond it the terminal waits.
const EXEC_QUEUE: usize = 16;

/// A connection to an agent's socket.
#[derive(Debug, Clone)]
pub struct Client {
    grpc: ClusterClient<Channel>,
    images: ImagesClient<Channel>,
    builds: BuildsClient<Channel>,
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// `Unavailable` when nobody listens there.
    pub async fn connect(path: &Path) -> Result<Self, ApiError> {
        let path = path.to_owned();
        let shown = path.display().to_string();
        // The URI is never looked at: the connector goes to the socket.
        let channel = Endpoint::from_static("http://agent")
            .connect_with_connector(tower::service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(SocketPath::of(&path)?.path()).await.map(TokioIo::new) }
            }))
            .await
            .map_err(|error| {
                ApiError::new(
                    ErrorKind::Unavailable,
                    format!("no agent answers at {shown}: {}", root_cause(&error)),
                )
            })?;
        let grpc = ClusterClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let images = ImagesClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let builds = BuildsClient::new(channel)
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        Ok(Self { grpc, images, builds })
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

type Answer<T> = Result<Response<T>, Status>;

fn value<T: DeserializeOwned>(answer: Answer<Document>) -> Result<T, ApiError> {
    open(answer.map_err(|status| from_status(&status))?.get_ref())
}

fn values<T: DeserializeOwned + Send + 'static>(
    answer: Answer<Streaming<Document>>,
) -> Result<Items<T>, ApiError> {
    let stream = answer.map_err(|status| from_status(&status))?.into_inner();
    Ok(Box::pin(stream.map(|item| open(&item.map_err(|status| from_status(&status))?))))
}

fn ask<T: Serialize>(request: &T) -> Result<Document, ApiError> {
    seal(request)
}

#[async_trait]
impl ClusterApi for Client {
    async fn put_stack(&self, request: PutStack) -> Result<EventStream, ApiError> {
        values(self.grpc.clone().put_stack(ask(&request)?).await)
    }

    async fn plan(&self, request: Plan) -> Result<Preview, ApiError> {
        value(self.grpc.clone().plan(ask(&request)?).await)
    }

    async fn down(&self, request: Down) -> Result<EventStream, ApiError> {
        values(self.grpc.clone().down(ask(&request)?).await)
    }

    async fn stop(&self, request: Stop) -> Result<EventStream, ApiError> {
        values(self.grpc.clone().stop(ask(&request)?).await)
    }

    async fn start(&self, request: Start) -> Result<EventStream, ApiError> {
        values(self.grpc.clone().start(ask(&request)?).await)
    }

    async fn restart(&self, request: Restart) -> Result<EventStream, ApiError> {
        values(self.grpc.clone().restart(ask(&request)?).await)
    }

    async fn rollback(&self, request: Rollback) -> Result<EventStream, ApiError> {
        values(self.grpc.clone().rollback(ask(&request)?).await)
    }

    async fn foresee_rollback(&self, request: Rollback) -> Result<RollbackPreview, ApiError> {
        value(self.grpc.clone().foresee_rollback(ask(&request)?).await)
    }

    async fn diff(&self, request: Diff) -> Result<Vec<FieldDifference>, ApiError> {
        value(self.grpc.clone().diff(ask(&request)?).await)
    }

    async fn history(&self, stack: StackId) -> Result<StackHistory, ApiError> {
        value(self.grpc.clone().history(ask(&stack)?).await)
    }

    async fn resume(&self, stack: StackId, seq: u64) -> Result<EventStream, ApiError> {
        values(self.grpc.clone().resume(ask(&(stack, seq))?).await)
    }

    async fn stack(&self, id: StackId) -> Result<StackStatus, ApiError> {
        value(self.grpc.clone().stack(ask(&id)?).await)
    }

    async fn watch(&self, id: StackId) -> Result<StatusStream, ApiError> {
        values(self.grpc.clone().watch(ask(&id)?).await)
    }

    async fn stacks(&self) -> Result<Vec<StackStatus>, ApiError> {
        value(self.grpc.clone().stacks(ask(&())?).await)
    }

    async fn exec(&self, request: ExecRequest) -> Result<ExecSession, ApiError> {
        let (input, queue) = tokio::sync::mpsc::channel(EXEC_QUEUE);
        let first = ExecIn { kind: Some(exec_in::Kind::Request(ask(&request)?)) };
        let messages = futures_util::stream::once(std::future::ready(first))
            .chain(ReceiverStream::new(queue).map(|item| ExecIn { kind: Some(exec_input(item)) }));
        let answer = self.grpc.clone().exec(messages).await.map_err(|status| from_status(&status))?;
        let output =
            answer.into_inner().map(|item| exec_output(item.map_err(|status| from_status(&status))?));
        Ok(ExecSession { input, output: Box::pin(output) })
    }

    async fn logs(&self, request: LogsRequest) -> Result<LogStream, ApiError> {
        let answer = self.grpc.clone().logs(ask(&request)?).await.map_err(|status| from_status(&status))?;
        Ok(Box::pin(answer.into_inner().map(|item| log_line(item.map_err(|status| from_status(&status))?))))
    }

    async fn kill(&self, instance: InstanceUid, signal: Signal) -> Result<(), ApiError> {
        value(self.grpc.clone().kill(ask(&(instance, signal))?).await)
    }

    async fn status(&self) -> Result<AgentStatus, ApiError> {
        value(self.grpc.clone().status(ask(&())?).await)
    }

    async fn shutdown(&self, force: bool) -> Result<(), ApiError> {
        value(self.grpc.clone().shutdown(ask(&force)?).await)
    }
}

fn exec_input(input: ExecInput) -> exec_in::Kind {
    match input {
        ExecInput::Stdin(bytes) => exec_in::Kind::Stdin(bytes),
        ExecInput::Eof => exec_in::Kind::Eof(true),
        ExecInput::Resize(columns, rows) => {
            exec_in::Kind::Resize(v1::Size { columns: columns.into(), rows: rows.into() })
        }
        ExecInput::Signal(signal) => exec_in::Kind::Signal(signal.0),
    }
}

fn exec_output(message: ExecOut) -> Result<ExecOutput, ApiError> {
    match message.kind {
        Some(exec_out::Kind::Stdout(bytes)) => Ok(ExecOutput::Stdout(bytes)),
        Some(exec_out::Kind::Stderr(bytes)) => Ok(ExecOutput::Stderr(bytes)),
        Some(exec_out::Kind::Exit(document)) => Ok(ExecOutput::Exit(open(&document)?)),
        None => Err(ApiError::new(ErrorKind::Version, "the agent sent an empty message")),
    }
}

fn log_line(line: v1::LogLine) -> Result<LogLine, ApiError> {
    let bad = |error: hoist_model::IdError| ApiError::internal(&error);
    Ok(LogLine {
        instance: line.instance.parse::<InstanceUid>().map_err(bad)?,
        slot: Slot {
            stack: line.stack.parse().map_err(bad)?,
            service: ServiceName::new(line.service).map_err(bad)?,
            index: line.index,
        },
        stderr: line.stderr,
        time: WallTime(line.time),
        line: line.line,
        partial: line.partial,
        continues: line.continues,
        end: line.end.as_ref().map(open).transpose()?,
    })
}
