//! [`ImageApi`] of what is wanted: calls go to the host, with the images that must stay.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hoist_model::{Digest, VolumeId};
use hoist_planner::cluster::{Input, unnamed_volumes};
use hoist_wire::{
    ApiError, ArchiveBytes, Artifact, CheckLogin, DiskUsage, FetchArtifact, ImageApi, ImageDetails,
    ImageQuery, ImageSummary, ImportImage, LoadedImage, PinImage, PinnedImage, PruneImages, PullImage,
    PulledImage, PushImage, PushedImage, RemoveImage, RemovedImages, TagImage, WorkStream,
};

use crate::api::{Orchestrator, stopped};
use crate::snapshot::Snapshot;

/// How long the removal of volumes is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

impl Orchestrator {
    /// Images of instances, of kept revisions and of operations under way.
    fn in_use(&self) -> Vec<Digest> {
        let mut images: BTreeSet<Digest> = self.snapshot.borrow().images().into_iter().collect();
        images.extend(self.operations.images());
        images.into_iter().collect()
    }

    /// What is about to come takes room. Failure to make it shows when there is none.
    pub(crate) async fn make_room(&self) {
        if let Err(error) = self.host.make_room(self.in_use()).await {
            tracing::warn!("old images can't be removed: {error}");
        }
    }

    /// Takes out the volumes that no stack names; each that is gone, with the bytes it had.
    async fn prune_volumes(&self) -> Result<Vec<(VolumeId, u64)>, ApiError> {
        let shown = self.shown().await;
        let doomed = unnamed_volumes(&shown.stacks, &shown.view);
        if doomed.is_empty() {
            return Ok(Vec::new());
        }
        let usage = self.host.disk_usage(ImageQuery::default()).await?;
        self.inbox.send(Input::PruneVolumes).map_err(|_| stopped())?;
        let mut snapshot = self.snapshot.clone();
        // One that a stack names meanwhile stays.
        let over = |shown: &Snapshot| unnamed_volumes(&shown.stacks, &shown.view).is_disjoint(&doomed);
        let waited = tokio::time::timeout(PATIENCE, snapshot.wait_for(over)).await;
        if waited.is_err() {
            tracing::warn!("volumes that no stack names are not gone within {PATIENCE:?}");
        }
        let view = Arc::clone(&self.snapshot.borrow().view);
        let is_there = |id: &VolumeId| view.values().any(|report| report.volumes.contains(id));
        let gone = doomed.into_iter().filter(|id| !is_there(id));
        Ok(gone.map(|id| (id.clone(), usage.each_volume.get(&id).copied().unwrap_or(0))).collect())
    }

    fn query(&self, query: ImageQuery) -> ImageQuery {
        ImageQuery { in_use: self.in_use(), ..query }
    }
}

#[async_trait]
impl ImageApi for Orchestrator {
    async fn pull_image(&self, request: PullImage) -> Result<WorkStream<PulledImage>, ApiError> {
        let busy = self.busy();
        self.make_room().await;
        self.need_room()?;
        Ok(busy.during(self.host.pull_image(request).await?))
    }

    async fn push_image(&self, request: PushImage) -> Result<WorkStream<PushedImage>, ApiError> {
        let busy = self.busy();
        Ok(busy.during(self.host.push_image(request).await?))
    }

    async fn load_image(&self, archive: ArchiveBytes) -> Result<Vec<LoadedImage>, ApiError> {
        let _busy = self.busy();
        self.make_room().await;
        self.need_room()?;
        self.host.load_image(archive).await
    }

    async fn import_image(
        &self,
        request: ImportImage,
        archive: ArchiveBytes,
    ) -> Result<LoadedImage, ApiError> {
        let _busy = self.busy();
        self.make_room().await;
        self.need_room()?;
        self.host.import_image(request, archive).await
    }

    async fn save_images(&self, names: Vec<String>) -> Result<ArchiveBytes, ApiError> {
        let busy = self.busy();
        Ok(busy.during(self.host.save_images(names).await?))
    }

    async fn images(&self, query: ImageQuery) -> Result<Vec<ImageSummary>, ApiError> {
        let _busy = self.busy();
        self.host.images(self.query(query)).await
    }

    async fn inspect_image(&self, query: ImageQuery) -> Result<ImageDetails, ApiError> {
        let _busy = self.busy();
        self.host.inspect_image(self.query(query)).await
    }

    async fn tag_image(&self, request: TagImage) -> Result<(), ApiError> {
        let _busy = self.busy();
        self.host.tag_image(request).await
    }

    async fn remove_image(&self, request: RemoveImage) -> Result<RemovedImages, ApiError> {
        let _busy = self.busy();
        self.host.remove_image(RemoveImage { in_use: self.in_use(), ..request }).await
    }

    async fn disk_usage(&self, query: ImageQuery) -> Result<DiskUsage, ApiError> {
        let _busy = self.busy();
        self.host.disk_usage(self.query(query)).await
    }

    async fn prune_images(&self, request: PruneImages) -> Result<RemovedImages, ApiError> {
        let _busy = self.busy();
        let taken = if request.volumes && request.all { self.prune_volumes().await? } else { Vec::new() };
        let mut removed = self.host.prune_images(PruneImages { in_use: self.in_use(), ..request }).await?;
        removed.bytes += taken.iter().map(|(_, bytes)| bytes).sum::<u64>();
        removed.volumes = taken.into_iter().map(|(id, _)| id).collect();
        Ok(removed)
    }

    async fn check_store(&self) -> Result<Vec<String>, ApiError> {
        let _busy = self.busy();
        self.host.check_store().await
    }

    async fn pin_image(&self, request: PinImage) -> Result<PinnedImage, ApiError> {
        let _busy = self.busy();
        self.host.pin_image(request).await
    }

    async fn fetch_artifact(&self, request: FetchArtifact) -> Result<Artifact, ApiError> {
        let _busy = self.busy();
        self.host.fetch_artifact(request).await
    }

    async fn check_login(&self, request: CheckLogin) -> Result<(), ApiError> {
        let _busy = self.busy();
        self.host.check_login(request).await
    }
}
