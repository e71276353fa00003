//! A [`BuildApi`] at the other end of a socket.

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Client, ask};
use crate::build::{BuildAnswers, BuildApi, BuildIn, BuildRequest, BuildStream, FromBuild};
use crate::document::{from_status, open};
use crate::v1::{BuildAnswer, BuildMessage, build_answer, build_message};
use crate::{ApiError, ErrorKind};

/// Answers that may wait for the agent.
const QUEUE: usize = 4;

#[async_trait]
impl BuildApi for Client {
    async fn build(&self, request: BuildRequest, answers: BuildAnswers) -> Result<BuildStream, ApiError> {
        let (messages, queue) = mpsc::channel(QUEUE);
        let first = BuildMessage { kind: Some(build_message::Kind::Request(ask(&request)?)) };
        tokio::spawn(send(first, answers, messages));
        let answer = self.builds.clone().build(ReceiverStream::new(queue)).await;
        let stream = answer.map_err(|status| from_status(&status))?.into_inner();
        Ok(Box::pin(stream.map(|item| heard(item.map_err(|status| from_status(&status))?))))
    }
}

/// Sends until there are no more answers, or nobody takes them.
async fn send(first: BuildMessage, mut answers: BuildAnswers, messages: mpsc::Sender<BuildMessage>) {
    if messages.send(first).await.is_err() {
        return;
    }
    while let Some(Ok(answer)) = answers.next().await {
        let kind = match answer {
            BuildIn::Listing(listing) => build_message::Kind::Listing(listing),
            BuildIn::Piece(piece) => build_message::Kind::Piece(piece),
            BuildIn::Refusal(refusal) => build_message::Kind::Refusal(refusal),
        };
        if messages.send(BuildMessage { kind: Some(kind) }).await.is_err() {
            return;
        }
    }
}

fn heard(answer: BuildAnswer) -> Result<FromBuild, ApiError> {
    match answer.kind {
        Some(build_answer::Kind::Event(document)) => Ok(FromBuild::Event(open(&document)?)),
        Some(build_answer::Kind::List(ask)) => Ok(FromBuild::List(ask)),
        Some(build_answer::Kind::Read(ask)) => Ok(FromBuild::Read(ask)),
        Some(build_answer::Kind::Put(parcel)) => Ok(FromBuild::Put(parcel)),
        None => Err(ApiError::new(ErrorKind::Version, "the agent sent an empty message")),
    }
}
