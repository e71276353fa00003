//! Settles the images of an `up`: each once, side by side, telling the operation how it gets on.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::join_all;
use hoist_model::{Failure, ImageSource, PullPolicy, ResolvedImage, ServiceName, Subject};
use hoist_planner::cluster::{ImageWanted, OpId};
use hoist_wire::{ApiError, ErrorKind, HostApi, RegistryAccess, RemovedImages, ResolveImage, Work};
use tokio::sync::watch;

use crate::operations::Operations;
use crate::snapshot::Snapshot;

/// An operation whose images are being settled.
pub(crate) struct Settling {
    pub(crate) host: Arc<dyn HostApi>,
    pub(crate) operations: Operations,
    pub(crate) op: OpId,
    /// What is wanted and was reported.
    pub(crate) snapshot: watch::Receiver<Snapshot>,
}

type Settled = BTreeMap<ServiceName, Result<ResolvedImage, Failure>>;

impl Settling {
    /// Settles all images. Services that want the same one the same way get it from one call.
    pub(crate) async fn all(&self, wanted: Vec<ImageWanted>) -> Settled {
        let access = self.operations.take_access(self.op);
        let settling = groups(wanted).into_iter().map(async |(source, policy, services)| {
            let settled = self.one(source.clone(), policy, access.clone()).await;
            let settled = settled.map_err(|error| failure(&source, error));
            services.into_iter().map(|service| (service, settled.clone())).collect::<Vec<_>>()
        });
        let all: Settled = join_all(settling).await.into_iter().flatten().collect();
        self.make_room().await;
        all
    }

    /// New images are what fills a disk. Failure to collect old ones is no failure of this operation.
    async fn make_room(&self) {
        let mut in_use = self.snapshot.borrow().images();
        in_use.extend(self.operations.images());
        match self.host.make_room(in_use).await {
            Ok(taken) if taken == RemovedImages::default() => {}
            Ok(taken) => tracing::info!(
                "the disk filled up: {} images and {} results of builds were removed",
                taken.deleted.len(),
                taken.builds
            ),
            Err(error) => tracing::warn!("old images can't be removed: {error}"),
        }
    }

    async fn one(
        &self,
        source: ImageSource,
        policy: PullPolicy,
        access: RegistryAccess,
    ) -> Result<ResolvedImage, ApiError> {
        let mut items = self.host.resolve_image(ResolveImage { source, policy, access }).await?;
        while let Some(item) = items.next().await {
            match item? {
                Work::Event(event) => self.operations.emit(self.op, event),
                Work::Done(image) => {
                    image.digest.iter().for_each(|id| self.operations.settled(self.op, id.clone()));
                    return Ok(image);
                }
            }
        }
        Err(ApiError::new(ErrorKind::Internal, "the agent ended before the image was settled"))
    }
}

fn groups(wanted: Vec<ImageWanted>) -> Vec<(ImageSource, PullPolicy, Vec<ServiceName>)> {
    let mut groups: Vec<(ImageSource, PullPolicy, Vec<ServiceName>)> = Vec::new();
    for one in wanted {
        match groups.iter_mut().find(|(source, policy, _)| *source == one.source && *policy == one.policy) {
            Some((_, _, services)) => services.push(one.service),
            None => groups.push((one.source, one.policy, vec![one.service])),
        }
    }
    groups
}

fn failure(source: &ImageSource, error: ApiError) -> Failure {
    let subject = Subject::Image(source.to_string());
    // Where both are shown, the subject is said once.
    let said = error.message.strip_prefix(&format!("{subject}: ")).map(str::to_owned);
    Failure { subject, what: said.unwrap_or(error.message), hint: error.hint, permanent: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_cannot_be_had_is_named_once() {
        let source = ImageSource::Reference("app:1".to_owned());
        let what = |message: &str| failure(&source, ApiError::new(ErrorKind::Elsewhere, message)).what;
        assert_eq!(what("image app:1: it is not there"), "it is not there");
        assert_eq!(what("image app:12: it is not there"), "image app:12: it is not there");
    }
}
