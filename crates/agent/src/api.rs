//! [`HostApi`] over the loop.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use hoist_keeper::protocol::Request;
use hoist_model::{Digest, Endpoints, HostId, HostReport, HostSpec, InstanceUid, ProbeRecord};
use hoist_planner::cluster::Accepted;
use hoist_wire::{
    ApiError, ErrorKind, ExecRequest, ExecSession, HostApi, ImageSighting, LogStream, LogsRequest,
    LookUpImage, PutSpecError, RemovedImages, ReportStream, ResolveImage, ResolveStream, Signal,
};
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::WatchStream;

use crate::control::inbox::{Inbox, Message};
use crate::host::Host;
use crate::processes::ids::Processes;
use crate::reserve::Reserve;

/// One host's agent. Cheap to clone.
#[derive(Clone)]
pub struct Agent {
    pub(crate) host: Host,
    pub(crate) inbox: Inbox,
    pub(crate) reports: watch::Receiver<Option<Arc<HostReport>>>,
    pub(crate) processes: Processes,
    pub(crate) accepted: Arc<Accepted>,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("root", &self.host.layout.root()).finish_non_exhaustive()
    }
}

fn stopped() -> ApiError {
    ApiError::new(
        ErrorKind::Unavailable,
        "the agent is ending, and is started again when that was not asked for",
    )
    .hint("run the command again; `agent.log` in the state folder says why it ended")
}

impl Agent {
    /// Process ids of agent, keeper, dns.
    #[must_use]
    pub fn processes(&self) -> &Processes {
        &self.processes
    }

    /// This host's name.
    #[must_use]
    pub fn host_id(&self) -> HostId {
        self.host.id()
    }

    /// What the host had accepted when the agent started.
    #[must_use]
    pub fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// Room kept back on the state's disk.
    #[must_use]
    pub fn reserve(&self) -> &Reserve {
        &self.host.reserve
    }

    /// What a person should know of the state: files that were damaged and set aside.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let layout = &self.host.layout;
        let folders = [layout.root().to_owned(), layout.fabric(), layout.keeper_state()];
        let found = folders.iter().flat_map(|folder| hoist_keeper::set_asides(folder));
        let notice = |path: std::path::PathBuf| {
            format!(
                "a file of the state was damaged: it is kept as {}, and what it held was taken from the other files \
                 and from what runs; remove it when nobody needs to look at it",
                path.display()
            )
        };
        found.map(notice).collect()
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

    async fn look_up_image(&self, request: LookUpImage) -> Result<ImageSighting, ApiError> {
        self.host.images.look_up(request).await
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
