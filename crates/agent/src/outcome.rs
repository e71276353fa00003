//! How work ends that a step asked for: failures that may pass, and those that stay until a person changes something.

use std::io;
use std::path::Path;

use hoist_planner::host::StepError;

use crate::chain::chain;
use crate::reserve::is_full;

/// A failure that may pass.
pub(crate) fn failed(error: &dyn std::error::Error) -> StepError {
    StepError { what: chain(error), hint: None, permanent: false }
}

/// A file or folder that can't be made. That the disk is full passes; else a person has to see to it.
pub(crate) fn unmade(path: &Path, error: &io::Error) -> StepError {
    StepError {
        what: format!("can't make {}: {error}", path.display()),
        hint: Some("free space on that file system, or repair it".to_owned()),
        permanent: !is_full(error),
    }
}

/// A failure that stays until a person changes something.
pub(crate) fn refused(what: impl Into<String>, hint: impl Into<String>) -> StepError {
    StepError { what: what.into(), hint: Some(hint.into()), permanent: true }
}

/// Runs blocking work on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(&error)))
}
