//! What a person reads when a command fails: what happened, where, what to do next; and the exit code.

use hoist_wire::{ApiError, ErrorKind};

/// Exit codes, as `docs/reference/exit-codes.md` lists them.
pub(crate) mod code {
    /// Done.
    pub(crate) const OK: u8 = 0;
    /// It failed.
    pub(crate) const FAILED: u8 = 1;
    /// Wrong use, or a stack file with errors; nothing was changed.
    pub(crate) const USAGE: u8 = 2;
    /// A plan has something to do.
    pub(crate) const CHANGES: u8 = 3;
    /// Nobody reads what it prints any more: 128 + SIGPIPE, as a shell says it.
    pub(crate) const BROKEN_PIPE: u8 = 141;
    /// Interrupted.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// A command that ended without success.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// What happened, where; empty when all has been said already.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The exit code.
    pub code: u8,
}

impl CommandError {
    /// It failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: code::FAILED }
    }

    /// It was asked wrongly.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: code::USAGE }
    }

    /// All has been said; only the code is left.
    #[must_use]
    pub(crate) fn silent(code: u8) -> Self {
        Self { message: String::new(), hint: None, code }
    }

    /// The same with what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ApiError> for CommandError {
    fn from(error: ApiError) -> Self {
        let code = if error.kind == ErrorKind::Invalid { code::USAGE } else { code::FAILED };
        Self { message: error.message, hint: error.hint, code }
    }
}
