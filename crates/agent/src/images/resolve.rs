//! Settles the image of a service: finds, imports or pulls it, as its policy says.

use std::path::Path;

use futures_util::StreamExt;
use hoist_image::Reference;
use hoist_image::platform::Platform;
use hoist_model::{ImageConfig, ImageSource, PullPolicy, ResolvedImage};
use hoist_planner::images::{Settle, settle};
use hoist_wire::{ApiError, ErrorKind, ResolveImage, ResolveStream, Work};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::config::resolved;
use super::{Images, reference, times};

/// Events that may wait for whoever follows.
const QUEUE: usize = 16;

type Sink = mpsc::Sender<Result<Work<ResolvedImage>, ApiError>>;

impl Images {
    /// Settles an image; the stream tells how a pull gets on, and ends with the image.
    pub(crate) fn resolve(&self, request: ResolveImage) -> ResolveStream {
        let (sink, items) = mpsc::channel(QUEUE);
        let images = self.clone();
        tokio::spawn(async move {
            let result = images.settled(request, &sink).await;
            let _ = sink.send(result.map(Work::Done)).await;
        });
        Box::pin(ReceiverStream::new(items))
    }

    async fn settled(&self, request: ResolveImage, sink: &Sink) -> Result<ResolvedImage, ApiError> {
        match request.source.clone() {
            ImageSource::Rootfs(dir) => rootfs(&dir),
            ImageSource::OciLayout { dir, tag } => {
                self.blocking(move |images| images.import_layout(&dir, tag.as_deref())).await
            }
            ImageSource::Reference(text) => self.settle_reference(&text, request, sink).await,
        }
    }

    async fn settle_reference(
        &self,
        text: &str,
        request: ResolveImage,
        sink: &Sink,
    ) -> Result<ResolvedImage, ApiError> {
        let name = reference(text)?;
        let here = self.here(text, &name).await?;
        let pulled = self.times.pulled(&name);
        match (settle(request.policy, here.is_some(), pulled, times::now()), here) {
            (Settle::Use, Some(image)) => return Ok(image),
            (Settle::Pull | Settle::Use, _) => {}
            (Settle::Missing, _) => return Err(missing(text, request.policy)),
            (Settle::Build, _) => return Err(unbuilt(text)),
        }
        let mut pulling = self.pull(name.clone(), Platform::host(), request.access);
        while let Some(item) = pulling.next().await {
            let Work::Event(event) = item? else { continue };
            if sink.send(Ok(Work::Event(event))).await.is_err() {
                // Nobody follows any more: dropping the stream ends the pull, unless another wants it too.
                return Err(super::explain::cancelled(text));
            }
        }
        let here = self.here(text, &name).await?;
        here.ok_or_else(|| ApiError::new(ErrorKind::Conflict, format!("image {text} was removed meanwhile")))
    }

    /// The image, if it is here complete.
    async fn here(&self, text: &str, name: &Reference) -> Result<Option<ResolvedImage>, ApiError> {
        let (name, source) = (name.clone(), ImageSource::Reference(text.to_owned()));
        self.blocking(move |images| {
            // What is damaged is as good as absent: a pull mends it.
            let Ok(Some(image)) = images.store.resolve(&name) else { return Ok(None) };
            images.times.use_now(image.id);
            Ok(Some(resolved(source, &image)))
        })
        .await
    }

    pub(super) fn import_layout(&self, dir: &Path, tag: Option<&str>) -> Result<ResolvedImage, ApiError> {
        let fail = |error: &dyn std::error::Error| {
            let message = format!("OCI layout {}: {}", dir.display(), crate::chain::chain(error));
            ApiError::new(ErrorKind::Invalid, message).hint("x-hoist.oci names a folder with an index.json")
        };
        let loaded = self.store.import_layout(dir, tag, &[], &()).map_err(|error| fail(&error))?;
        let image = self.store.image_by_id(loaded.id).map_err(|error| fail(&error))?;
        let image =
            image.ok_or_else(|| ApiError::new(ErrorKind::Internal, "an image went while it was imported"))?;
        self.times.use_now(image.id);
        Ok(resolved(ImageSource::OciLayout { dir: dir.to_owned(), tag: tag.map(str::to_owned) }, &image))
    }
}

pub(super) fn rootfs(dir: &Path) -> Result<ResolvedImage, ApiError> {
    if !dir.is_dir() {
        let message = format!("x-hoist.rootfs: {} is not a folder", dir.display());
        return Err(ApiError::new(ErrorKind::Invalid, message));
    }
    let source = ImageSource::Rootfs(dir.to_owned());
    Ok(ResolvedImage { source, digest: None, config: ImageConfig::default() })
}

pub(super) fn missing(text: &str, policy: PullPolicy) -> ApiError {
    let why = if policy == PullPolicy::Never { ", and its pull policy is `never`" } else { "" };
    ApiError::new(ErrorKind::NotFound, format!("there is no image {text} on this host{why}")).hint(format!(
        "fetch it with `hoist image pull {text}`, or load it: `docker save {text} | hoist load`"
    ))
}

fn unbuilt(text: &str) -> ApiError {
    ApiError::new(ErrorKind::NotFound, format!("image {text} is to be built, and is not on this host"))
        .hint("build it: `hoist build`, or `hoist up` without --no-build")
}
