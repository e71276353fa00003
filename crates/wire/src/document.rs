//! JSON documents in versioned envelopes, and errors in a gRPC status.
//!
//! Why JSON inside protobuf is in `docs/decisions/0001-documents-in-envelopes.md`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::{Code, Status};

use crate::v1::Document;
use crate::{ApiError, ErrorKind};

/// Version of the documents that this binary writes. It reads this one and the one before.
pub const VERSION: u32 = 1;
const OLDEST: u32 = 1;

/// Wraps a value.
pub(crate) fn seal<T: Serialize>(value: &T) -> Result<Document, ApiError> {
    let json = serde_json::to_vec(value).map_err(|error| ApiError::internal(&error))?;
    Ok(Document { version: VERSION, json: json.into() })
}

/// Unwraps a value, if its version is one that this binary reads.
pub(crate) fn open<T: DeserializeOwned>(document: &Document) -> Result<T, ApiError> {
    if !(OLDEST..=VERSION).contains(&document.version) {
        let text = format!(
            "the other side speaks protocol version {}, this binary {OLDEST} to {VERSION}",
            document.version
        );
        return Err(ApiError::new(ErrorKind::Version, text).hint(
            "run the same version of hoist on both sides: `hoist agent stop`, then the command again",
        ));
    }
    serde_json::from_slice(&document.json).map_err(|error| {
        ApiError::new(ErrorKind::Version, format!("a message of the other side can't be read: {error}"))
            .hint("run the same version of hoist on both sides: `hoist agent stop`, then the command again")
    })
}

/// An error as a gRPC status; its JSON form travels in the details.
pub(crate) fn to_status(error: &ApiError) -> Status {
    let code = match error.kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict | ErrorKind::Destroys => Code::FailedPrecondition,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Version => Code::Unimplemented,
        ErrorKind::Elsewhere => Code::Aborted,
        ErrorKind::Internal => Code::Internal,
    };
    let details = serde_json::to_vec(error).unwrap_or_default();
    Status::with_details(code, error.message.clone(), details.into())
}

/// The error in a gRPC status: ours when it has details, the transport's otherwise.
pub(crate) fn from_status(status: &Status) -> ApiError {
    if let Ok(error) = serde_json::from_slice::<ApiError>(status.details()) {
        return error;
    }
    match status.code() {
        // Our own errors have details: what has none is the transport's.
        Code::Unavailable | Code::Cancelled | Code::Unknown | Code::DeadlineExceeded | Code::Internal => {
            ApiError::new(
                ErrorKind::Unavailable,
                format!("the connection to the agent broke: {}", status.message()),
            )
        }
        Code::Unimplemented => {
            ApiError::new(ErrorKind::Version, "the agent that runs doesn't know this command".to_owned())
                .hint("it is another version of hoist: `hoist agent stop`, then the command again")
        }
        _ => ApiError::new(ErrorKind::Internal, status.message().to_owned()),
    }
}
