//! [`ImageApi`] at the other end of a socket.

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Client, ask, value, values};
use crate::document::from_status;
use crate::v1::{Chunk, ImportIn, import_in};
use crate::{
    ApiError, ArchiveBytes, Artifact, CheckLogin, DiskUsage, FetchArtifact, ImageApi, ImageDetails,
    ImageQuery, ImageSummary, ImportImage, LoadedImage, PinImage, PinnedImage, PruneImages, PullImage,
    PulledImage, PushImage, PushedImage, RemoveImage, RemovedImages, TagImage, WorkStream,
};

/// Chunks of an archive that may wait for the agent.
const QUEUE: usize = 4;

#[async_trait]
impl ImageApi for Client {
    async fn pull_image(&self, request: PullImage) -> Result<WorkStream<PulledImage>, ApiError> {
        values(self.images.clone().pull(ask(&request)?).await)
    }

    async fn push_image(&self, request: PushImage) -> Result<WorkStream<PushedImage>, ApiError> {
        values(self.images.clone().push(ask(&request)?).await)
    }

    async fn load_image(&self, archive: ArchiveBytes) -> Result<Vec<LoadedImage>, ApiError> {
        let (chunks, queue) = mpsc::channel(QUEUE);
        let reading = tokio::spawn(send(archive, chunks, |data| Chunk { data }));
        let answer = self.images.clone().load(ReceiverStream::new(queue)).await;
        told(reading).await?;
        value(answer)
    }

    async fn import_image(
        &self,
        request: ImportImage,
        archive: ArchiveBytes,
    ) -> Result<LoadedImage, ApiError> {
        let (chunks, queue) = mpsc::channel(QUEUE);
        let data = |data| ImportIn { kind: Some(import_in::Kind::Data(data)) };
        let reading = tokio::spawn(send(archive, chunks, data));
        let first = ImportIn { kind: Some(import_in::Kind::Request(ask(&request)?)) };
        let messages =
            futures_util::stream::once(std::future::ready(first)).chain(ReceiverStream::new(queue));
        let answer = self.images.clone().import(messages).await;
        told(reading).await?;
        value(answer)
    }

    async fn save_images(&self, names: Vec<String>) -> Result<ArchiveBytes, ApiError> {
        let answer = self.images.clone().save(ask(&names)?).await.map_err(|status| from_status(&status))?;
        let bytes = answer.into_inner().map(|item| Ok(item.map_err(|status| from_status(&status))?.data));
        Ok(Box::pin(bytes))
    }

    async fn images(&self, query: ImageQuery) -> Result<Vec<ImageSummary>, ApiError> {
        value(self.images.clone().list(ask(&query)?).await)
    }

    async fn inspect_image(&self, query: ImageQuery) -> Result<ImageDetails, ApiError> {
        value(self.images.clone().inspect(ask(&query)?).await)
    }

    async fn tag_image(&self, request: TagImage) -> Result<(), ApiError> {
        value(self.images.clone().tag(ask(&request)?).await)
    }

    async fn remove_image(&self, request: RemoveImage) -> Result<RemovedImages, ApiError> {
        value(self.images.clone().remove(ask(&request)?).await)
    }

    async fn disk_usage(&self, query: ImageQuery) -> Result<DiskUsage, ApiError> {
        value(self.images.clone().usage(ask(&query)?).await)
    }

    async fn prune_images(&self, request: PruneImages) -> Result<RemovedImages, ApiError> {
        value(self.images.clone().prune(ask(&request)?).await)
    }

    async fn check_store(&self) -> Result<Vec<String>, ApiError> {
        value(self.images.clone().check(ask(&())?).await)
    }

    async fn pin_image(&self, request: PinImage) -> Result<PinnedImage, ApiError> {
        value(self.images.clone().pin(ask(&request)?).await)
    }

    async fn fetch_artifact(&self, request: FetchArtifact) -> Result<Artifact, ApiError> {
        value(self.images.clone().fetch_artifact(ask(&request)?).await)
    }

    async fn check_login(&self, request: CheckLogin) -> Result<(), ApiError> {
        value(self.images.clone().check_login(ask(&request)?).await)
    }
}

/// A request stream carries no errors: one that occurs while reading ends the stream, and is told afterwards.
async fn send<T>(
    mut archive: ArchiveBytes,
    messages: mpsc::Sender<T>,
    message: impl Fn(bytes::Bytes) -> T,
) -> Result<(), ApiError> {
    while let Some(data) = archive.next().await {
        if messages.send(message(data?)).await.is_err() {
            // The agent refused: its answer says why.
            break;
        }
    }
    Ok(())
}

async fn told(reading: tokio::task::JoinHandle<Result<(), ApiError>>) -> Result<(), ApiError> {
    reading.await.unwrap_or(Ok(()))
}
