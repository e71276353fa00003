//! [`HostApi`] over the loop.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use hoist_keeper::protocol::Request;
use hoist_model::{Digest, Endpoints, HostReport, HostSpec, InstanceUid, ProbeRecord};
use hoist_wire::{
    ApiError, ErrorKind, ExecRequest, ExecSession, HostApi, LogStream, LogsRequest, PutSpecError,
    RemovedImages, ReportStream, ResolveImage, ResolveStream, Signal,
};
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::WatchStream;

use crate::control::shell::{Inbox, Message};
use crate::host::Host;

/// One host's agent. Cheap to clone.
#[derive(Clone)]
pub struct Agent {
    pub(crate) host: Host,
    pub(crate) inbox: Inbox,
    pub(crate) reports: watch::Receiver<Option<Arc<HostReport>>>,
    pub(crate) processes: crate::daemon::Processes,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("root", &self.host.layout.root()).finish_non_exhaustive()
    }
}

fn stopped() -> ApiError {
    ApiError::new(ErrorKind::Unavailable, "the agent has stopped: its journal could not be written")
        .hint("free space where the state folder is, then run `hoist agent stop` and the command again")
}

impl Agent {
    /// Process ids of agent, keeper, dns.
    #[must_use]
    pub fn processes(&self) -> &crate::daemon::Processes {
        &self.processes
    }

    async fn put(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<(), PutSpecError>>) -> Message,
    ) -> Result<(), PutSpecError> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(message(answer)).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

#[async_trait]
impl HostApi for Agent {
    async fn put_host_spec(&self, spec: HostSpec) -> Result<(), PutSpecError> {
        self.put(|answer| Message::PutSpec(Box::new(spec), answer)).await
    }

    async fn put_endpoints(&self, endpoints: Endpoints) -> Result<(), PutSpecError> {
        self.put(|answer| Message::PutEndpoints(Box::new(endpoints), answer)).await
    }

    fn reports(&self) -> ReportStream {
        let reports = WatchStream::new(self.reports.clone());
        Box::pin(reports.filter_map(|report| std::future::ready(report.map(|report| (*report).clone()))))
    }

    async fn resolve_image(&self, request: ResolveImage) -> Result<ResolveStream, ApiError> {
        Ok(self.host.images.resolve(request))
    }

    async fn make_room(&self, in_use: Vec<Digest>) -> Result<RemovedImages, ApiError> {
        self.host.images.collect(in_use).await
    }

    async fn health_log(&self) -> Result<BTreeMap<InstanceUid, Vec<ProbeRecord>>, ApiError> {
        Ok(self.host.health_log.all())
    }

    async fn exec(&self, request: ExecRequest) -> Result<ExecSession, ApiError> {
        crate::instances::exec::session(&self.host, request).await
    }

    async fn logs(&self, request: LogsRequest) -> Result<LogStream, ApiError> {
        crate::instances::logs::stream(&self.host, &request)
    }

    async fn kill(&self, instance: InstanceUid, signal: Signal) -> Result<(), ApiError> {
        let request = Request::Signal { key: Host::key(instance), exec: None, signal: signal.0 };
        self.host.link.tell(request, Vec::new()).await.map_err(|error| {
            ApiError::new(
                ErrorKind::Conflict,
                format!("instance {}: {}", instance.short(), crate::chain::chain(&error)),
            )
        })
    }
}
