//! Serves a [`ClusterApi`] on a Unix socket.

mod build;
mod images;

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{Stream, StreamExt};
use hoist_model::StackId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status, Streaming};

use crate::document::{open, seal, to_status};
use crate::v1::builds_server::BuildsServer;
use crate::v1::cluster_server::{Cluster, ClusterServer};
use crate::v1::images_server::ImagesServer;
use crate::v1::{Document, ExecIn, ExecOut, LogLine, exec_in, exec_out};
use crate::{ApiError, ClusterApi, ErrorKind, ExecInput, ExecOutput, ExecRequest, Items, Signal};

/// A stack's specs and reports can be large; nothing else on this socket is.
const MESSAGE_LIMIT: usize = 64 << 20;

/// Serves until `stop` resolves, then lets calls under way end.
///
/// # Errors
/// When the socket can't be served.
pub async fn serve(
    listener: UnixListener,
    api: Arc<dyn ClusterApi>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ApiError> {
    let cluster = ClusterServer::new(Service { api: Arc::clone(&api) })
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT);
    let images = ImagesServer::new(Service { api: Arc::clone(&api) })
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT);
    let builds = BuildsServer::new(Service { api })
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT);
    tonic::transport::Server::builder()
        .trace_fn(|request| tracing::info_span!("call", path = request.uri().path()))
        .add_service(InterceptedService::new(cluster, refuse_strangers))
        .add_service(InterceptedService::new(images, refuse_strangers))
        .add_service(InterceptedService::new(builds, refuse_strangers))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop)
        .await
        .map_err(|error| ApiError::internal(&error))
}

/// Only root and the agent's own user may ask: whoever can start containers here can become either.
#[allow(clippy::result_large_err, clippy::needless_pass_by_value, reason = "the signature is tonic's")]
fn refuse_strangers(request: Request<()>) -> Result<Request<()>, Status> {
    let peer = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
    let own =
        std::fs::metadata("/proc/self").map(|meta| std::os::unix::fs::MetadataExt::uid(&meta)).unwrap_or(0);
    match peer {
        Some(peer) if peer.uid() == 0 || peer.uid() == own => Ok(request),
        _ => Err(refuse(
            // No wrong use: nothing about the command would have to be written otherwise.
            &ApiError::new(
                ErrorKind::Elsewhere,
                "permission denied: this agent takes commands from root only",
            )
            .hint("run the command with sudo"),
        )),
    }
}

/// Answers with an error, and says so in the log: within the span of the call, which names it.
fn refuse(error: &ApiError) -> Status {
    let hint = error.hint.as_deref().unwrap_or_default();
    match error.kind {
        ErrorKind::Internal => {
            tracing::error!(kind = ?error.kind, error = error.message, hint, "request failed");
        }
        kind => tracing::info!(?kind, error = error.message, hint, "request refused"),
    }
    to_status(error)
}

struct Service {
    api: Arc<dyn ClusterApi>,
}

type Documents = Pin<Box<dyn Stream<Item = Result<Document, Status>> + Send>>;
type Reply<T> = Result<Response<T>, Status>;

fn read<T: DeserializeOwned>(request: &Request<Document>) -> Result<T, Status> {
    open(request.get_ref()).map_err(|error| refuse(&error))
}

fn reply<T: Serialize>(result: Result<T, ApiError>) -> Reply<Document> {
    result.and_then(|value| seal(&value)).map(Response::new).map_err(|error| refuse(&error))
}

fn documents<T: Serialize + 'static>(result: Result<Items<T>, ApiError>) -> Reply<Documents> {
    let stream = result.map_err(|error| refuse(&error))?;
    let sealed = stream.map(|item| item.and_then(|value| seal(&value)).map_err(|error| refuse(&error)));
    Ok(Response::new(Box::pin(sealed)))
}

#[async_trait]
impl Cluster for Service {
    type PutStackStream = Documents;
    type DownStream = Documents;
    type StopStream = Documents;
    type StartStream = Documents;
    type RestartStream = Documents;
    type RollbackStream = Documents;
    type ResumeStream = Documents;
    type WatchStream = Documents;
    type ExecStream = Pin<Box<dyn Stream<Item = Result<ExecOut, Status>> + Send>>;
    type LogsStream = Pin<Box<dyn Stream<Item = Result<LogLine, Status>> + Send>>;

    async fn status(&self, _: Request<Document>) -> Reply<Document> {
        reply(self.api.status().await)
    }

    async fn put_stack(&self, request: Request<Document>) -> Reply<Documents> {
        documents(self.api.put_stack(read(&request)?).await)
    }

    async fn plan(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.plan(read(&request)?).await)
    }

    async fn down(&self, request: Request<Document>) -> Reply<Documents> {
        documents(self.api.down(read(&request)?).await)
    }

    async fn stop(&self, request: Request<Document>) -> Reply<Documents> {
        documents(self.api.stop(read(&request)?).await)
    }

    async fn start(&self, request: Request<Document>) -> Reply<Documents> {
        documents(self.api.start(read(&request)?).await)
    }

    async fn restart(&self, request: Request<Document>) -> Reply<Documents> {
        documents(self.api.restart(read(&request)?).await)
    }

    async fn rollback(&self, request: Request<Document>) -> Reply<Documents> {
        documents(self.api.rollback(read(&request)?).await)
    }

    async fn foresee_rollback(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.foresee_rollback(read(&request)?).await)
    }

    async fn diff(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.diff(read(&request)?).await)
    }

    async fn history(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.history(read(&request)?).await)
    }

    async fn resume(&self, request: Request<Document>) -> Reply<Documents> {
        let (stack, seq): (StackId, u64) = read(&request)?;
        documents(self.api.resume(stack, seq).await)
    }

    async fn stack(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.stack(read(&request)?).await)
    }

    async fn watch(&self, request: Request<Document>) -> Reply<Documents> {
        documents(self.api.watch(read(&request)?).await)
    }

    async fn stacks(&self, _: Request<Document>) -> Reply<Document> {
        reply(self.api.stacks().await)
    }

    async fn exec(&self, request: Request<Streaming<ExecIn>>) -> Reply<Self::ExecStream> {
        let mut incoming = request.into_inner();
        let first = incoming.message().await?.and_then(|message| message.kind);
        let Some(exec_in::Kind::Request(document)) = first else {
            return Err(Status::invalid_argument("an exec begins with its request"));
        };
        let request: ExecRequest = open(&document).map_err(|error| refuse(&error))?;
        let session = self.api.exec(request).await.map_err(|error| refuse(&error))?;
        let input = session.input;
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                let Some(item) = exec_input(message) else { continue };
                if input.send(item).await.is_err() {
                    break;
                }
            }
        });
        Ok(Response::new(Box::pin(
            session.output.map(|item| item.and_then(exec_out).map_err(|e| refuse(&e))),
        )))
    }

    async fn logs(&self, request: Request<Document>) -> Reply<Self::LogsStream> {
        let stream = self.api.logs(read(&request)?).await.map_err(|error| refuse(&error))?;
        Ok(Response::new(Box::pin(
            stream.map(|line| line.and_then(log_line).map_err(|error| refuse(&error))),
        )))
    }

    async fn kill(&self, request: Request<Document>) -> Reply<Document> {
        let (instance, signal): (_, Signal) = read(&request)?;
        reply(self.api.kill(instance, signal).await)
    }

    async fn shutdown(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.shutdown(read(&request)?).await)
    }
}

fn exec_input(message: ExecIn) -> Option<ExecInput> {
    match message.kind? {
        exec_in::Kind::Request(_) => None,
        exec_in::Kind::Stdin(bytes) => Some(ExecInput::Stdin(bytes)),
        exec_in::Kind::Eof(_) => Some(ExecInput::Eof),
        exec_in::Kind::Resize(size) => {
            let clamp = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
            Some(ExecInput::Resize(clamp(size.columns), clamp(size.rows)))
        }
        exec_in::Kind::Signal(signal) => Some(ExecInput::Signal(Signal(signal))),
    }
}

fn exec_out(output: ExecOutput) -> Result<ExecOut, ApiError> {
    let kind = match output {
        ExecOutput::Stdout(bytes) => exec_out::Kind::Stdout(bytes),
        ExecOutput::Stderr(bytes) => exec_out::Kind::Stderr(bytes),
        ExecOutput::Exit(exit) => exec_out::Kind::Exit(seal(&exit)?),
    };
    Ok(ExecOut { kind: Some(kind) })
}

fn log_line(line: crate::LogLine) -> Result<LogLine, ApiError> {
    Ok(LogLine {
        instance: line.instance.to_string(),
        stack: line.slot.stack.to_string(),
        service: line.slot.service.to_string(),
        index: line.slot.index,
        stderr: line.stderr,
        time: line.time.0,
        line: line.line,
        partial: line.partial,
        continues: line.continues,
        end: line.end.as_ref().map(seal).transpose()?,
    })
}
