//! Builds from the client's side: what a stack file says about them, the files they read, and what is shown.

mod answers;
mod bake;
mod caches;
mod check;
mod declared;
pub(crate) mod fit;
mod location;
mod parcels;
mod progress;
mod settings;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use hoist_model::ServiceName;
use hoist_wire::build::{BuildApi as _, BuildEvent, BuildRequest, BuiltImage, FromBuild};
use hoist_wire::{ApiError, Client, ErrorKind, ImageApi as _, ImageQuery};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::args::ProgressStyle;
use crate::error::CommandError;
pub(crate) use check::check;
pub(crate) use declared::{Declared, Overrides};
use parcels::Parcels;
pub(crate) use progress::Shown;

/// Answers that may wait for the agent.
const QUEUE: usize = 16;

/// An image to build for a service.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The service.
    pub service: ServiceName,
    /// What the agent is asked for.
    pub request: BuildRequest,
    /// The folders that it may read.
    pub folders: BTreeMap<String, PathBuf>,
    /// Services whose images it stands on.
    pub after: BTreeSet<ServiceName>,
    /// What of its section has no effect, and why.
    pub warnings: Vec<String>,
}

/// Builds images, side by side where none stands on another; what came of each.
///
/// # Errors
/// When one can't be built; the others of its turn are cancelled.
pub(crate) async fn build(
    agent: &Arc<Client>,
    wanted: Vec<Wanted>,
    style: ProgressStyle,
) -> Result<Vec<(ServiceName, BuiltImage)>, CommandError> {
    let shown =
        Shown::new(style, wanted.iter().map(|wanted| wanted.service.as_str().len()).max().unwrap_or(0));
    shown.during(in_turns(agent, wanted, &shown)).await
}

/// The services whose images are here, of those that a build could be left out for.
///
/// # Errors
/// When the agent can't say.
pub(crate) async fn here(agent: &Client, builds: &Declared) -> Result<BTreeSet<ServiceName>, CommandError> {
    let mut here = BTreeSet::new();
    for (service, image) in builds.kept_images() {
        match agent.images(ImageQuery { name: Some(image), ..ImageQuery::default() }).await {
            Ok(_) => drop(here.insert(service)),
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(here)
}

async fn in_turns(
    agent: &Arc<Client>,
    mut wanted: Vec<Wanted>,
    shown: &Shown,
) -> Result<Vec<(ServiceName, BuiltImage)>, CommandError> {
    let mut built = Vec::new();
    while !wanted.is_empty() {
        let waiting: BTreeSet<ServiceName> = wanted.iter().map(|wanted| wanted.service.clone()).collect();
        let (now, later): (Vec<Wanted>, Vec<Wanted>) =
            wanted.into_iter().partition(|wanted| wanted.after.is_disjoint(&waiting));
        if now.is_empty() {
            let names: Vec<&str> = later.iter().map(|wanted| wanted.service.as_str()).collect();
            return Err(CommandError::usage(format!(
                "the builds of {} stand on each other",
                names.join(", ")
            )));
        }
        built.extend(try_join_all(now.into_iter().map(|wanted| one(agent, wanted, shown))).await?);
        wanted = later;
    }
    Ok(built)
}

async fn one(
    agent: &Arc<Client>,
    wanted: Wanted,
    shown: &Shown,
) -> Result<(ServiceName, BuiltImage), CommandError> {
    let (sender, answers) = mpsc::channel(QUEUE);
    let stream = agent.build(wanted.request, ReceiverStream::new(answers).map(Ok).boxed()).await;
    let mut stream = stream.map_err(|error| failed(&wanted.service, error))?;
    for text in wanted.warnings {
        shown.event(&wanted.service, &BuildEvent::Warning(text));
    }
    let folders = Arc::new(wanted.folders);
    let mut parcels = Parcels::new(&folders, &sender);
    while let Some(item) = stream.next().await {
        let (ask, read) = match item.map_err(|error| failed(&wanted.service, error))? {
            FromBuild::Event(BuildEvent::Built(image)) => {
                shown.built(&wanted.service, &image);
                return Ok((wanted.service, image));
            }
            FromBuild::Event(event) => {
                shown.event(&wanted.service, &event);
                continue;
            }
            FromBuild::List(ask) => (ask, false),
            FromBuild::Read(ask) => (ask, true),
            FromBuild::Put(parcel) => {
                parcels.take(parcel).await;
                continue;
            }
        };
        let (folders, sender) = (Arc::clone(&folders), sender.clone());
        tokio::task::spawn_blocking(move || answers::answer(&folders, &ask, read, &sender));
    }
    let gone = ApiError::new(ErrorKind::Unavailable, "the agent went away while the image was built");
    Err(failed(&wanted.service, gone))
}

fn failed(service: &ServiceName, error: ApiError) -> CommandError {
    let mut told = CommandError::from(error);
    told.message = format!("service {service} can't be built: {}", told.message);
    told
}
