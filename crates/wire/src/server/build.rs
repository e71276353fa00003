//! Serves a [`BuildApi`](crate::build::BuildApi).

use std::pin::Pin;

use async_trait::async_trait;
use futures_util::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::{Service, refuse};
use crate::build::{BuildIn, FromBuild};
use crate::document::{from_status, open, seal};
use crate::v1::builds_server::Builds;
use crate::v1::{BuildAnswer, BuildMessage, build_answer, build_message};
use crate::{ApiError, ErrorKind};

#[async_trait]
impl Builds for Service {
    type BuildStream = Pin<Box<dyn Stream<Item = Result<BuildAnswer, Status>> + Send>>;

    async fn build(
        &self,
        request: Request<Streaming<BuildMessage>>,
    ) -> Result<Response<Self::BuildStream>, Status> {
        let mut messages = request.into_inner();
        let first = messages.message().await?.and_then(|message| message.kind);
        let Some(build_message::Kind::Request(document)) = first else {
            return Err(Status::invalid_argument("a build begins with its request"));
        };
        let request = open(&document).map_err(|error| refuse(&error))?;
        let answers = messages.map(|message| match message.map_err(|status| from_status(&status))?.kind {
            Some(build_message::Kind::Listing(listing)) => Ok(BuildIn::Listing(listing)),
            Some(build_message::Kind::Piece(piece)) => Ok(BuildIn::Piece(piece)),
            Some(build_message::Kind::Refusal(refusal)) => Ok(BuildIn::Refusal(refusal)),
            _ => Err(ApiError::new(ErrorKind::Version, "a build's request comes once, then answers")),
        });
        let stream = self.api.build(request, Box::pin(answers)).await.map_err(|error| refuse(&error))?;
        Ok(Response::new(Box::pin(stream.map(|item| item.and_then(said).map_err(|error| refuse(&error))))))
    }
}

fn said(item: FromBuild) -> Result<BuildAnswer, ApiError> {
    let kind = match item {
        FromBuild::Event(event) => build_answer::Kind::Event(seal(&event)?),
        FromBuild::List(ask) => build_answer::Kind::List(ask),
        FromBuild::Read(ask) => build_answer::Kind::Read(ask),
        FromBuild::Put(parcel) => build_answer::Kind::Put(parcel),
    };
    Ok(BuildAnswer { kind: Some(kind) })
}
