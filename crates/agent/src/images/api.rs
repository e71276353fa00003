//! [`ImageApi`] of one host.

use async_trait::async_trait;
use hoist_image::platform::{Platform, PlatformError};
use hoist_wire::{
    ApiError, ArchiveBytes, Artifact, CheckLogin, DiskUsage, ErrorKind, FetchArtifact, ImageApi,
    ImageDetails, ImageQuery, ImageSummary, ImportImage, LoadedImage, PinImage, PinnedImage, PruneImages,
    PullImage, PulledImage, PushImage, PushedImage, RemoveImage, RemovedImages, TagImage, WorkStream,
};

use super::reference;
use crate::api::Agent;

#[async_trait]
impl ImageApi for Agent {
    async fn pull_image(&self, request: PullImage) -> Result<WorkStream<PulledImage>, ApiError> {
        let name = reference(&request.reference)?;
        let platform = request.platform.as_deref().map_or_else(|| Ok(Platform::host()), str::parse);
        let platform =
            platform.map_err(|error: PlatformError| ApiError::new(ErrorKind::Invalid, error.to_string()))?;
        Ok(self.host.images.pull(name, platform, request.access))
    }

    async fn push_image(&self, request: PushImage) -> Result<WorkStream<PushedImage>, ApiError> {
        self.host.images.push(request)
    }

    async fn load_image(&self, archive: ArchiveBytes) -> Result<Vec<LoadedImage>, ApiError> {
        self.host.images.load(archive).await
    }

    async fn import_image(
        &self,
        request: ImportImage,
        archive: ArchiveBytes,
    ) -> Result<LoadedImage, ApiError> {
        self.host.images.import(request, archive).await
    }

    async fn save_images(&self, names: Vec<String>) -> Result<ArchiveBytes, ApiError> {
        self.host.images.save(names).await
    }

    async fn images(&self, query: ImageQuery) -> Result<Vec<ImageSummary>, ApiError> {
        self.host.images.blocking(move |images| images.list(&query)).await
    }

    async fn inspect_image(&self, query: ImageQuery) -> Result<ImageDetails, ApiError> {
        self.host.images.blocking(move |images| images.inspect(&query)).await
    }

    async fn tag_image(&self, request: TagImage) -> Result<(), ApiError> {
        self.host.images.blocking(move |images| images.tag(&request)).await
    }

    async fn remove_image(&self, request: RemoveImage) -> Result<RemovedImages, ApiError> {
        self.host.images.blocking(move |images| images.remove(&request)).await
    }

    async fn disk_usage(&self, query: ImageQuery) -> Result<DiskUsage, ApiError> {
        let (layout, known) = (self.host.layout.clone(), self.host.known());
        self.host.images.blocking(move |images| images.disk_usage(&query, &layout, &known)).await
    }

    async fn prune_images(&self, request: PruneImages) -> Result<RemovedImages, ApiError> {
        self.host.images.blocking(move |images| images.prune(&request)).await
    }

    async fn check_store(&self) -> Result<Vec<String>, ApiError> {
        self.host
            .images
            .blocking(|images| {
                let faults = images.store.verify().map_err(|error| ApiError::internal(&error))?;
                Ok(faults.iter().map(|fault| crate::chain::chain(fault)).collect())
            })
            .await
    }

    async fn pin_image(&self, request: PinImage) -> Result<PinnedImage, ApiError> {
        self.host.images.pin(request).await
    }

    async fn fetch_artifact(&self, request: FetchArtifact) -> Result<Artifact, ApiError> {
        self.host.images.fetch_artifact(request).await
    }

    async fn check_login(&self, request: CheckLogin) -> Result<(), ApiError> {
        self.host.images.check_login(request).await
    }
}
