//! This process's terminal: raw mode while an exec has it, and its size.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::CommandError;

/// Columns and rows of standard output's terminal; 80 by 24 when it is none.
#[must_use]
pub(crate) fn size() -> (u16, u16) {
    tcgetwinsize(std::io::stdout()).map_or((80, 24), |size| (size.ws_col, size.ws_row))
}

/// Raw mode of standard input, for as long as this lives.
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Enters raw mode (termios(3), `cfmakeraw`).
    ///
    /// # Errors
    /// When standard input is no terminal.
    pub(crate) fn enter() -> Result<Self, CommandError> {
        let fail =
            |error: rustix::io::Errno| CommandError::failed(format!("can't set up the terminal: {error}"));
        let before = tcgetattr(std::io::stdin()).map_err(fail)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).map_err(fail)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
