//! The interface of one host's agent, as the orchestrator uses it.

use std::collections::BTreeMap;
use std::pin::Pin;

use async_trait::async_trait;
use futures_util::Stream;
use hoist_model::{
    Digest, Endpoints, Generation, HostReport, HostSpec, ImageState, InstanceUid, ProbeRecord, ResolvedImage,
};

use crate::build::BuildApi;
use crate::{
    ApiError, ExecRequest, ExecSession, ImageApi, LogStream, LogsRequest, RemovedImages, ResolveImage,
    ResolveStream, Signal,
};

/// Whole reports, the newest first of all at once; intermediate ones may be skipped.
pub type ReportStream = Pin<Box<dyn Stream<Item = HostReport> + Send>>;

/// Why an agent refuses a spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutSpecError {
    /// A newer one is accepted already.
    #[error("generation {requested} is older than {current}, which this host has accepted")]
    Outdated {
        /// What the host has.
        current: Generation,
        /// What was put.
        requested: Generation,
    },
    /// The same generation was accepted with other content.
    #[error("generation {0} was accepted with other content")]
    Altered(Generation),
    /// It could not be made durable.
    #[error("the spec could not be stored: {0}")]
    NotStored(String),
    /// The agent can't be reached.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// An image to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookUpImage {
    /// As [`ResolveImage`].
    pub image: ResolveImage,
    /// Don't ask its registry.
    pub offline: bool,
}

/// An image, as far as it is known without pulling it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSighting {
    /// What it would be settled to; without a digest where that is not known.
    pub image: ResolvedImage,
    /// What its registry has, where it would be pulled.
    pub remote: Option<Digest>,
    /// Where it comes from.
    pub state: ImageState,
    /// Why its registry can't be asked.
    pub warning: Option<String>,
}

/// One host's agent.
#[async_trait]
pub trait HostApi: ImageApi + BuildApi {
    /// Accepts a spec: returns once it is durable, before it is acted on. Equal to the accepted one: no effect.
    async fn put_host_spec(&self, spec: HostSpec) -> Result<(), PutSpecError>;

    /// Accepts service addresses and remote backends.
    async fn put_endpoints(&self, endpoints: Endpoints) -> Result<(), PutSpecError>;

    /// Reports from now on, the current one first.
    fn reports(&self) -> ReportStream;

    /// Settles an image on this host: finds, imports or pulls it as the policy says.
    async fn resolve_image(&self, request: ResolveImage) -> Result<ResolveStream, ApiError>;

    /// What settling an image would come to; nothing is pulled.
    async fn look_up_image(&self, request: LookUpImage) -> Result<ImageSighting, ApiError>;

    /// When the disk fills up, takes out images that can be had again and that none of `in_use` is.
    async fn make_room(&self, in_use: Vec<Digest>) -> Result<RemovedImages, ApiError>;

    /// What the last probes of each instance that has a health check said, oldest first.
    async fn health_log(&self) -> Result<BTreeMap<InstanceUid, Vec<ProbeRecord>>, ApiError>;

    /// Runs a program inside a running instance.
    async fn exec(&self, request: ExecRequest) -> Result<ExecSession, ApiError>;

    /// Reads what instances wrote.
    async fn logs(&self, request: LogsRequest) -> Result<LogStream, ApiError>;

    /// Sends a signal to an instance's first process, outside wanted state.
    async fn kill(&self, instance: InstanceUid, signal: Signal) -> Result<(), ApiError>;
}
