//! Serves an [`ImageApi`].

use std::pin::Pin;

use async_trait::async_trait;
use futures_util::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::{Documents, Reply, Service, documents, read, refuse, reply};
use crate::document::{from_status, open};
use crate::v1::images_server::Images;
use crate::v1::{Chunk, Document, ImportIn, import_in};
use crate::{ApiError, ErrorKind};

#[async_trait]
impl Images for Service {
    type PullStream = Documents;
    type PushStream = Documents;
    type SaveStream = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn pull(&self, request: Request<Document>) -> Reply<Documents> {
        documents(self.api.pull_image(read(&request)?).await)
    }

    async fn push(&self, request: Request<Document>) -> Reply<Documents> {
        documents(self.api.push_image(read(&request)?).await)
    }

    async fn load(&self, request: Request<Streaming<Chunk>>) -> Reply<Document> {
        let chunks = request.into_inner();
        let bytes = chunks.map(|chunk| chunk.map(|chunk| chunk.data).map_err(|status| from_status(&status)));
        reply(self.api.load_image(Box::pin(bytes)).await)
    }

    async fn import(&self, request: Request<Streaming<ImportIn>>) -> Reply<Document> {
        let mut messages = request.into_inner();
        let first = messages.message().await?.and_then(|message| message.kind);
        let Some(import_in::Kind::Request(document)) = first else {
            return Err(Status::invalid_argument("an import begins with its request"));
        };
        let request = open(&document).map_err(|error| refuse(&error))?;
        let bytes = messages.map(|message| match message.map_err(|status| from_status(&status))?.kind {
            Some(import_in::Kind::Data(data)) => Ok(data),
            _ => Err(ApiError::new(ErrorKind::Version, "an import's request comes once, then bytes")),
        });
        reply(self.api.import_image(request, Box::pin(bytes)).await)
    }

    async fn save(&self, request: Request<Document>) -> Reply<Self::SaveStream> {
        let bytes = self.api.save_images(read(&request)?).await.map_err(|error| refuse(&error))?;
        let chunks = bytes.map(|item| item.map(|data| Chunk { data }).map_err(|error| refuse(&error)));
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn list(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.images(read(&request)?).await)
    }

    async fn inspect(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.inspect_image(read(&request)?).await)
    }

    async fn tag(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.tag_image(read(&request)?).await)
    }

    async fn remove(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.remove_image(read(&request)?).await)
    }

    async fn usage(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.disk_usage(read(&request)?).await)
    }

    async fn prune(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.prune_images(read(&request)?).await)
    }

    async fn check(&self, _: Request<Document>) -> Reply<Document> {
        reply(self.api.check_store().await)
    }

    async fn pin(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.pin_image(read(&request)?).await)
    }

    async fn fetch_artifact(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.fetch_artifact(read(&request)?).await)
    }

    async fn check_login(&self, request: Request<Document>) -> Reply<Document> {
        reply(self.api.check_login(read(&request)?).await)
    }
}
