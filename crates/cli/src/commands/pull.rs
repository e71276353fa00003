//! `hoist pull` and `hoist push`: images of a stack's services; and the same of one image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hoist_model::{ImageSource, PullPolicy, Service, ServiceName};
use hoist_wire::{ApiError, Client, ImageApi, ImageQuery, PullImage, PushImage};

use crate::args::{self, ProgressStyle, PullWhich};
use crate::connect;
use crate::error::CommandError;
use crate::out::{errln, outln};
use crate::progress::Progress;
use crate::project::Project;
use crate::registry_access::access;

/// Pulls the images of the services named, or of all.
///
/// # Errors
/// When one can't be pulled.
pub(crate) async fn pull(
    project: &Project,
    args: &args::PullServices,
    style: ProgressStyle,
) -> Result<(), CommandError> {
    let wanted = |service: &Service| match service.pull_policy {
        PullPolicy::Never => Err("pull_policy is never"),
        PullPolicy::Build => Err("it is built"),
        _ => Ok(()),
    };
    let mut images = images(project, args.transfer.include_deps, &|_, service| wanted(service));
    let agent = connect::connect(&project.target.root).await?;
    if args.policy == PullWhich::Missing {
        let here = agent.images(ImageQuery::default()).await?;
        let tags: BTreeSet<String> = here.into_iter().flat_map(|image| image.tags).collect();
        images.retain(|image| !tags.contains(&familiar(image)));
    }
    let access = access(images.iter().map(String::as_str))?;
    let mut calls = Vec::new();
    for image in &images {
        let request = PullImage { reference: image.clone(), platform: None, access: access.clone() };
        calls.push(agent.pull_image(request).await);
    }
    let ends = Progress::new("pull", quiet(args.transfer.quiet, style)).follow_all(calls).await;
    conclude(ends.into_iter().filter_map(Result::err).collect(), args.ignore_pull_failures)
}

/// Pushes the images of the services that are built, of those named or of all.
///
/// # Errors
/// When one can't be pushed.
pub(crate) async fn push(
    project: &Project,
    args: &args::PushServices,
    style: ProgressStyle,
) -> Result<(), CommandError> {
    let wanted = |name: &ServiceName, _: &Service| {
        match project.built.contains(name) {
            // As with docker compose: the name that it has without one is of no registry.
            true if !project.builds.has_image(name) => Err("it has no `image`, which says where to push it"),
            true => Ok(()),
            false => Err("it is not built here; `hoist image push` pushes any image"),
        }
    };
    let images = images(project, args.transfer.include_deps, &wanted);
    let agent = connect::connect(&project.target.root).await?;
    push_images(&agent, &images, quiet(args.transfer.quiet, style), args.ignore_push_failures).await
}

/// Pushes these images.
///
/// # Errors
/// When one can't be pushed, unless that is to be ignored.
pub(crate) async fn push_images(
    agent: &Client,
    images: &[String],
    style: ProgressStyle,
    ignore_failures: bool,
) -> Result<(), CommandError> {
    let access = access(images.iter().map(String::as_str))?;
    let mut calls = Vec::new();
    for image in images {
        calls.push(agent.push_image(PushImage { reference: image.clone(), access: access.clone() }).await);
    }
    let ends = Progress::new("push", style).follow_all(calls).await;
    conclude(ends.into_iter().filter_map(Result::err).collect(), ignore_failures)
}

/// Pulls one image.
///
/// # Errors
/// When it can't be pulled.
pub(crate) async fn pull_one(
    root: &Path,
    request: PullImage,
    style: ProgressStyle,
) -> Result<(), CommandError> {
    let agent = connect::connect(root).await?;
    let access = access([request.reference.as_str()])?;
    let call = agent.pull_image(PullImage { access, ..request }).await;
    let ends = Progress::new("pull", style).follow_all(vec![call]).await;
    for end in ends {
        let pulled = end?;
        if style != ProgressStyle::Quiet {
            let state = if pulled.up_to_date { "up to date" } else { "new" };
            errln!("digest: {}\nstatus: {state}", pulled.digest);
        }
        outln!("{}", pulled.reference);
    }
    Ok(())
}

/// Pushes one image.
///
/// # Errors
/// When it can't be pushed.
pub(crate) async fn push_one(root: &Path, image: String, style: ProgressStyle) -> Result<(), CommandError> {
    let agent = connect::connect(root).await?;
    let access = access([image.as_str()])?;
    let call = agent.push_image(PushImage { reference: image, access }).await;
    for end in Progress::new("push", style).follow_all(vec![call]).await {
        let pushed = end?;
        outln!("{}: digest: {} size: {}", pushed.reference, pushed.digest, pushed.size);
    }
    Ok(())
}

/// `-q` is `--progress quiet`.
pub(crate) fn quiet(quiet: bool, style: ProgressStyle) -> ProgressStyle {
    if quiet { ProgressStyle::Quiet } else { style }
}

/// The images of the services meant, each once. Why a service is left out is said where it was named.
fn images(
    project: &Project,
    with_dependencies: bool,
    wanted: &dyn Fn(&ServiceName, &Service) -> Result<(), &'static str>,
) -> Vec<String> {
    let named = &project.target.services;
    let mut meant: BTreeMap<&ServiceName, &Service> = project.stack.services.iter().collect();
    if !named.is_empty() {
        let reached = reached(project, with_dependencies);
        meant.retain(|name, _| reached.contains(*name));
    }
    let mut images = BTreeSet::new();
    for (name, service) in meant {
        let ImageSource::Reference(image) = &service.image else { continue };
        match wanted(name, service) {
            Ok(()) => drop(images.insert(image.clone())),
            Err(why) => errln!("{name} skipped: {why}"),
        }
    }
    images.into_iter().collect()
}

fn reached(project: &Project, with_dependencies: bool) -> BTreeSet<ServiceName> {
    let mut waiting = project.target.services.clone();
    let mut reached = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        let service = project.stack.services.get(&name).filter(|_| with_dependencies);
        waiting.extend(
            service
                .into_iter()
                .flat_map(|service| service.depends_on.keys().cloned())
                .filter(|next| !reached.contains(next)),
        );
        reached.insert(name);
    }
    reached
}

/// With the tag that no tag means, as the agent names images.
fn familiar(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

fn conclude(errors: Vec<ApiError>, ignored: bool) -> Result<(), CommandError> {
    let mut errors = errors.into_iter();
    if ignored {
        errors.for_each(|error| errln!("warning: {error}"));
        return Ok(());
    }
    let Some(first) = errors.next() else { return Ok(()) };
    for error in errors {
        errln!("{}error:{:#} {error}", crate::style::BAD, crate::style::BAD);
    }
    Err(first.into())
}
