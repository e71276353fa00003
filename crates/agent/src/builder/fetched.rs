//! Contexts that the agent fetches itself: by HTTP, before the Dockerfile is read, since it may be in one.

use std::collections::BTreeMap;
use std::sync::Arc;

use hoist_image::Store;
use hoist_image::builder::Ignore;
use hoist_image::builder::execute::{ContextSource, FetchedContext};
use hoist_wire::build::{BuildEvent, BuildRequest};
use hoist_wire::{ApiError, ErrorKind};

use super::under_way::UnderWay;
use super::{Out, say};
use crate::chain::chain;

/// The contexts of one build, by name.
pub(super) type Fetched = BTreeMap<String, FetchedContext>;

/// Fetches what a request names by address, and reads the Dockerfile where it is in that.
pub(super) async fn fetch(
    store: Arc<Store>,
    mut wanted: BuildRequest,
    out: &Out,
    builds: &UnderWay,
) -> Result<(BuildRequest, Fetched), ApiError> {
    for url in wanted.fetched.values() {
        say(out, BuildEvent::Resolving(url.clone())).await;
    }
    // An agent that ends waits for what is written to go.
    let ends = || ApiError::new(ErrorKind::Unavailable, "the agent is just ending");
    let running = builds.begin().ok_or_else(ends)?;
    let (builds, hears) = (builds.clone(), out.clone());
    let fetching = tokio::task::spawn_blocking(move || {
        let _running = running;
        let is_cancelled = || builds.is_ending() || hears.is_closed();
        let mut fetched = Fetched::new();
        for (name, url) in &wanted.fetched {
            let context = FetchedContext::fetch(&store, url, &is_cancelled);
            let context = context.map_err(|error| told("the context", &error))?;
            fetched.insert(name.clone(), context);
        }
        if let Some(context) = fetched.get("").filter(|_| wanted.dockerfile_fetched) {
            let text = context.dockerfile(&wanted.dockerfile_name);
            wanted.dockerfile = text.map_err(|error| told("the Dockerfile", &error))?;
        }
        Ok((wanted, fetched))
    });
    fetching.await.map_err(|error| ApiError::internal(&error))?
}

/// One of them as steps read it.
pub(super) fn source(
    name: &str,
    context: &FetchedContext,
    wanted: &BuildRequest,
) -> Result<ContextSource, ApiError> {
    let dockerfile = (name.is_empty() && wanted.dockerfile_fetched).then_some(&*wanted.dockerfile_name);
    let ignore = context.ignore(dockerfile).map_err(|error| told(".dockerignore", &error))?;
    let ignore = Ignore::parse(&ignore).map_err(|error| told(".dockerignore", &error))?;
    Ok(ContextSource { folder: Box::new(context.files()), ignore })
}

fn told(what: &str, error: &(dyn std::error::Error + 'static)) -> ApiError {
    ApiError::new(ErrorKind::Conflict, format!("{what}: {}", chain(error)))
}
