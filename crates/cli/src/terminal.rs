//! This process's terminal: raw mode while an exec has it, and its size.

use std::sync::{Mutex, Once, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::CommandError;

/// Columns and rows of the terminal on standard input, or else on standard output; 80 by 24 when neither is one.
#[must_use]
pub(crate) fn size() -> (u16, u16) {
    let size = tcgetwinsize(std::io::stdin()).or_else(|_| tcgetwinsize(std::io::stdout()));
    size.map_or((80, 24), |size| (size.ws_col, size.ws_row))
}

/// How the terminal was before raw mode, while it is in it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode of standard input, for as long as this lives, and no longer when the program panics.
pub(crate) struct RawMode(());

impl RawMode {
    /// Enters raw mode (termios(3), `cfmakeraw`).
    ///
    /// # Errors
    /// When standard input is no terminal.
    pub(crate) fn enter() -> Result<Self, CommandError> {
        let fail =
            |error: rustix::io::Errno| CommandError::failed(format!("can't set up the terminal: {error}"));
        restore_at_panic();
        let before = tcgetattr(std::io::stdin()).map_err(fail)?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let mode = Self(());
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).map_err(fail)?;
        Ok(mode)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
}

/// A panic may abort without dropping anything.
fn restore_at_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            report(panic);
        }));
    });
}
