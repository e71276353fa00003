//! Builds images: reads the Dockerfile, finds its bases, and performs its steps with this host's runtime.
//!
//! Owns the stream to the client that asked, and the containers of RUN steps. What a build is, and how its steps are
//! cached, is `hoist_image::builder`'s.

mod bases;
mod caches;
mod check;
mod fetched;
mod folder;
mod hosts;
pub(crate) mod leftovers;
mod runner;
mod spec;
pub(crate) mod under_way;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt;
use hoist_image::builder::Ignore;
use hoist_image::builder::dockerfile::{Dockerfile, Problem};
use hoist_image::builder::exchange::Caches;
use hoist_image::builder::execute::{self, Build, BuildProgress, ContextSource, Options};
use hoist_image::builder::graph::{Graph, Network, StepId};
use hoist_image::builder::plan::{NamedContext, Planned, Request, plan};
use hoist_image::{Reference, Store};
use hoist_model::Digest;
use hoist_wire::build::{
    BuildAnswers, BuildApi, BuildEvent, BuildRequest, BuildStream, BuiltImage, FromBuild,
};
use hoist_wire::{ApiError, ErrorKind};
use tokio::sync::mpsc;

use crate::api::Agent;
use crate::chain::chain;
use crate::images::Images;
use folder::{Asks, Remote};
use runner::Containers;
use under_way::{Running, UnderWay};

/// Events and questions that may wait for the client.
const QUEUE: usize = 64;
const EPOCH: &str = "SOURCE_DATE_EPOCH";

type Out = mpsc::Sender<Result<FromBuild, ApiError>>;
type Items = mpsc::Receiver<Result<FromBuild, ApiError>>;

#[async_trait]
impl BuildApi for Agent {
    async fn build(&self, request: BuildRequest, answers: BuildAnswers) -> Result<BuildStream, ApiError> {
        let (out, items) = mpsc::channel(QUEUE);
        let asks = Arc::new(Asks::new(out.clone()));
        let gone = Arc::new(AtomicBool::new(false));
        tokio::spawn(listen(answers, Arc::clone(&asks), Arc::clone(&gone)));
        let agent = self.clone();
        tokio::spawn(async move {
            let last = match request.check {
                true => agent.checked(request, &out).await.map(BuildEvent::Checked),
                false => agent.built(request, out.clone(), asks, gone).await.map(BuildEvent::Built),
            };
            let _ = out.send(last.map(FromBuild::Event)).await;
        });
        Ok(Box::pin(futures_util::stream::unfold(Some(items), next)))
    }
}

/// The next item. The verdict is the last, though the way stays open for questions.
async fn next(items: Option<Items>) -> Option<(Result<FromBuild, ApiError>, Option<Items>)> {
    let mut items = items?;
    let item = items.recv().await?;
    let last = matches!(item, Err(_) | Ok(FromBuild::Event(BuildEvent::Built(_) | BuildEvent::Checked(_))));
    Some((item, (!last).then_some(items)))
}

/// Hands answers on until the client goes.
async fn listen(mut answers: BuildAnswers, asks: Arc<Asks>, gone: Arc<AtomicBool>) {
    while let Some(Ok(answer)) = answers.next().await {
        asks.answer(answer);
    }
    gone.store(true, Ordering::Relaxed);
    asks.close();
}

impl Agent {
    async fn built(
        &self,
        wanted: BuildRequest,
        out: Out,
        asks: Arc<Asks>,
        gone: Arc<AtomicBool>,
    ) -> Result<BuiltImage, ApiError> {
        if let Some(here) = self.is_here(&wanted)? {
            return Ok(here);
        }
        let store = self.host.images.store();
        let (wanted, fetched) = fetched::fetch(store, wanted, &out, &self.host.builds).await?;
        let file = Dockerfile::parse(&wanted.dockerfile).map_err(|problems| refused(&wanted, &problems))?;
        let request = request(&wanted)?;
        let bases = self.bases(&file, &wanted, &request, &out).await?;
        let planned = plan(&file, &request, &bases).map_err(|problems| refused(&wanted, &problems))?;
        for text in warnings(&wanted, &planned) {
            say(&out, BuildEvent::Warning(text)).await;
        }
        let titles = planned.graph.steps.iter().map(|step| step.title.clone()).collect();
        say(&out, BuildEvent::Plan(titles)).await;
        let containers =
            Containers { hierarchy: Arc::clone(&self.host.hierarchy), groups: self.host.groups.clone() };
        let (store, builds) = (self.host.images.store(), self.host.builds.clone());
        let ends = || ApiError::new(ErrorKind::Unavailable, "the agent is just ending");
        let _running = builds.begin().ok_or_else(ends)?;
        let (graph, fresh) = (planned.graph, planned.fresh);
        let caches = self.caches(&wanted, &request, &asks, &gone)?;
        let performing = Performing {
            caches,
            wanted,
            fetched,
            graph,
            fresh,
            out,
            asks,
            gone,
            containers,
            store,
            builds,
            _running,
        };
        let performed = tokio::task::spawn_blocking(move || performing.perform()).await;
        let built = performed.map_err(|error| ApiError::internal(&error))?;
        if built.is_err() {
            self.sweep_up();
        }
        let built = built?;
        if let Ok(id) = built.id.0.parse() {
            self.host.images.use_now(id);
        }
        Ok(built)
    }
}

impl Agent {
    /// Takes out what a build that ended without an image had put in place already: no image has it, and no later build
    /// knows of it. Steps that were done whole stay for the next try.
    fn sweep_up(&self) {
        let images = self.host.images.clone();
        // Nobody has to wait for it.
        tokio::spawn(async move {
            if let Err(error) = images.blocking(Images::sweep).await {
                tracing::warn!(%error, "what a failed build left can't be taken out");
            }
        });
    }

    /// The image, when it is not to be built again.
    fn is_here(&self, wanted: &BuildRequest) -> Result<Option<BuiltImage>, ApiError> {
        let names = references(&wanted.names)?;
        let Some(first) = names.first().filter(|_| wanted.only_if_missing) else { return Ok(None) };
        let found = self.host.images.store().resolve(first).map_err(|error| ApiError::internal(&error))?;
        let built = |image: hoist_image::Image| BuiltImage {
            id: Digest(image.id.to_string()),
            names: names.iter().map(Reference::familiar).collect(),
            steps: 0,
            cached: 0,
            here: true,
        };
        Ok(found.map(built))
    }
}

/// What is likely not meant so.
fn warnings(wanted: &BuildRequest, planned: &Planned) -> Vec<String> {
    let file = &wanted.dockerfile_name;
    let meant = |name: &&String| ![EPOCH, caches::INLINE].contains(&name.as_str());
    let unused = planned.unused_arguments.iter().filter(meant);
    let unused = unused.map(|name| format!("build argument {name} is used nowhere"));
    let unknown = planned.unknown_stages.iter();
    let unknown = unknown.map(|name| format!("no_cache_filter: {file} has no stage {name}"));
    let odd = planned.warnings.iter().map(|warning| format!("{file}: {warning}"));
    odd.chain(unknown).chain(unused).collect()
}

async fn say(out: &Out, event: BuildEvent) {
    // Nobody hears any more: the build ends by itself.
    let _ = out.send(Ok(FromBuild::Event(event))).await;
}

/// A build on its way, for a thread that may wait.
struct Performing {
    wanted: BuildRequest,
    fetched: fetched::Fetched,
    graph: Graph,
    fresh: BTreeSet<StepId>,
    out: Out,
    asks: Arc<Asks>,
    gone: Arc<AtomicBool>,
    containers: Containers,
    store: Arc<Store>,
    caches: Caches,
    builds: UnderWay,
    _running: Running,
}

impl Performing {
    fn perform(self) -> Result<BuiltImage, ApiError> {
        let invalid = |text: String| ApiError::new(ErrorKind::Invalid, text);
        let mut contexts = BTreeMap::new();
        for (name, ignore) in &self.wanted.folders {
            let ignore = Ignore::parse(ignore).map_err(|error| invalid(format!(".dockerignore: {error}")))?;
            let folder = Box::new(Remote { name: name.clone(), asks: Arc::clone(&self.asks) });
            contexts.insert(name.clone(), ContextSource { folder, ignore });
        }
        for (name, context) in &self.fetched {
            contexts.insert(name.clone(), fetched::source(name, context, &self.wanted)?);
        }
        let names: Vec<Reference> = references(&self.wanted.names)?;
        let options = Options {
            no_cache: self.wanted.no_cache,
            fresh: self.fresh.clone(),
            epoch: epoch(&self.wanted)?,
            names: names.clone(),
        };
        let secrets = self.wanted.secrets.iter().map(|(id, secret)| (id.clone(), secret.0.clone())).collect();
        let build = Build {
            store: &self.store,
            runner: &self.containers,
            contexts: &contexts,
            secrets: &secrets,
            ssh: &self.wanted.ssh,
            options: &options,
            caches: &self.caches,
            progress: &self,
        };
        let built = build.perform(&self.graph).map_err(|error| {
            let text = format!("{}: {}", self.wanted.dockerfile_name, chain(&error));
            ApiError::new(ErrorKind::Conflict, text)
        })?;
        Ok(BuiltImage {
            id: Digest(built.id.to_string()),
            names: names.iter().map(Reference::familiar).collect(),
            steps: built.steps,
            cached: built.cached,
            here: false,
        })
    }
}

impl BuildProgress for Performing {
    fn event(&self, event: execute::BuildEvent<'_>) {
        let event = match event {
            execute::BuildEvent::Started(step) => BuildEvent::Started(step.0),
            execute::BuildEvent::Cached(step) => BuildEvent::Cached(step.0),
            execute::BuildEvent::Done(step) => BuildEvent::Done(step.0),
            execute::BuildEvent::Failed(step) => BuildEvent::Failed(step.0),
            execute::BuildEvent::Exporting(name) => BuildEvent::Exporting(name.to_owned()),
            execute::BuildEvent::Warning(text) => BuildEvent::Warning(text.to_owned()),
            execute::BuildEvent::Output(step, bytes) => {
                BuildEvent::Output(step.0, String::from_utf8_lossy(bytes).into_owned())
            }
        };
        let _ = self.out.blocking_send(Ok(FromBuild::Event(event)));
    }

    fn is_cancelled(&self) -> bool {
        self.gone.load(Ordering::Relaxed) || self.builds.is_ending() || self.out.is_closed()
    }
}

fn request(wanted: &BuildRequest) -> Result<Request, ApiError> {
    let invalid = |text: String| ApiError::new(ErrorKind::Invalid, text);
    let platform = wanted.platform.as_deref().map(|text| {
        let bad = |error: hoist_image::platform::PlatformError| {
            invalid(format!("platform {text:?}: {}", chain(&error)))
        };
        text.parse().map_err(bad)
    });
    let network = match wanted.network.as_deref() {
        None | Some("" | "default") => Network::Default,
        Some("none") => Network::None,
        Some("host") => Network::Host,
        Some(other) => {
            return Err(invalid(format!("a build's network is none, host or default, not {other:?}")));
        }
    };
    let folders = wanted.folders.keys().chain(wanted.fetched.keys()).filter(|name| !name.is_empty());
    let folders = folders.map(|name| (name.clone(), NamedContext::Folder));
    let images = wanted.images.iter().map(|(name, image)| (name.clone(), NamedContext::Image(image.clone())));
    Ok(Request {
        target: wanted.target.clone().filter(|target| !target.is_empty()),
        arguments: wanted.arguments.clone(),
        labels: wanted.labels.clone(),
        platform: platform.transpose()?,
        contexts: folders.chain(images).collect(),
        network,
        settings: wanted.settings.clone(),
        fresh: wanted.fresh.clone(),
        ..Request::default()
    })
}

fn epoch(wanted: &BuildRequest) -> Result<Option<i64>, ApiError> {
    let Some(text) = wanted.arguments.get(EPOCH).filter(|text| !text.is_empty()) else { return Ok(None) };
    let bad = |_| ApiError::new(ErrorKind::Invalid, format!("{EPOCH} is a number of seconds, not {text:?}"));
    text.parse().map(Some).map_err(bad)
}

fn references(names: &[String]) -> Result<Vec<Reference>, ApiError> {
    let parse = |name: &String| {
        let bad = |error: hoist_image::reference::ReferenceError| {
            ApiError::new(ErrorKind::Invalid, format!("image {name:?}: {}", chain(&error)))
        };
        name.parse().map_err(bad)
    };
    names.iter().map(parse).collect()
}

fn refused(wanted: &BuildRequest, problems: &[Problem]) -> ApiError {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}: {problem}", wanted.dockerfile_name)).collect();
    ApiError::new(ErrorKind::Invalid, lines.join("\n"))
}
