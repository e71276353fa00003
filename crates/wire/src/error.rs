//! One error for both interfaces: what happened and what to do next, with a kind that decides the exit code.

use serde::{Deserialize, Serialize};

/// What kind of failure an [`ApiError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// What was asked makes no sense or contradicts what is: exit code 2.
    Invalid,
    /// It names something that isn't there.
    NotFound,
    /// It lost against another change, or claims what another stack has.
    Conflict,
    /// It destroys data, and nobody has permitted that; the message says which.
    Destroys,
    /// The other side isn't there or went away.
    Unavailable,
    /// The two sides speak different versions.
    Version,
    /// Somebody else said no, or gave no answer: a registry.
    Elsewhere,
    /// Everything else; a fault of Hoist or of the host.
    Internal,
}

/// A refused or failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct ApiError {
    /// What kind.
    pub kind: ErrorKind,
    /// What happened, where.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl ApiError {
    /// An error without a hint.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An internal error that shows the whole chain of sources.
    #[must_use]
    pub fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(ErrorKind::Internal, hoist_model::chain(error))
    }
}
