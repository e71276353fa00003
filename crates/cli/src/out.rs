//! This process's own standard output and error.
//!
//! Owns what becomes of a write that fails. On standard output the first failure is kept and ends the command: by
//! nobody reading any more (`hoist ps | head -1`) without a word, else with an error. Standard error only accompanies:
//! what can't be said there is dropped, and the command does its work.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::oneshot;

use crate::error::{CommandError, code};

/// The first write to standard output that failed.
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to standard output.
macro_rules! outln {
    ($($part:tt)*) => { $crate::out::styled(format_args!("{}\n", format_args!($($part)*))) };
}

/// Prints to standard output.
macro_rules! out {
    ($($part:tt)*) => { $crate::out::styled(format_args!($($part)*)) };
}

/// Prints to standard error.
macro_rules! err {
    ($($part:tt)*) => { $crate::out::aside(format_args!($($part)*)) };
}

/// Prints a line to standard error.
macro_rules! errln {
    () => { $crate::out::aside(format_args!("\n")) };
    ($($part:tt)*) => { $crate::out::aside(format_args!("{}\n", format_args!($($part)*))) };
}

pub(crate) use {err, errln, out, outln};

/// Prints text of ours to standard output, without its colours where they can't be shown.
pub(crate) fn styled(text: fmt::Arguments<'_>) {
    if FAILURE.get().is_none() {
        keep(anstream::stdout().write_fmt(text));
    }
}

/// Writes bytes that aren't ours to standard output, as they are.
///
/// # Errors
/// When nothing can be written there; how that ends the command.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    keep(out.write_all(bytes).and_then(|()| out.flush()));
    finish()
}

/// Whether standard output shows colours, and may.
pub(crate) fn takes_colours() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// Prints text of ours to standard error, without its colours where they can't be shown.
pub(crate) fn aside(text: fmt::Arguments<'_>) {
    let _ = anstream::stderr().write_fmt(text);
}

/// Draws text of ours on standard error's terminal, over so many lines that were drawn before. The cursor moves where
/// colours are not wanted too.
pub(crate) fn redraw(above: usize, text: &str) {
    let plain = anstream::AutoStream::choice(&io::stderr()) == anstream::ColorChoice::Never;
    let text = if plain { anstream::adapter::strip_str(text).to_string() } else { text.to_owned() };
    // Cursor up, then clear to the end of the screen (ECMA-48: CUU, ED).
    let over = if above > 0 { format!("\x1b[{above}A\x1b[J") } else { String::new() };
    let mut terminal = io::stderr().lock();
    let _ = terminal.write_all((over + &text).as_bytes()).and_then(|()| terminal.flush());
}

fn keep(written: io::Result<()>) {
    if let Err(error) = written {
        let _ = FAILURE.set(error);
    }
}

/// Whether all that was printed could be written.
///
/// # Errors
/// When not; how that ends the command.
pub(crate) fn finish() -> Result<(), CommandError> {
    if FAILURE.get().is_none() {
        keep(io::stdout().flush());
    }
    match FAILURE.get() {
        None => Ok(()),
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(CommandError::silent(code::BROKEN_PIPE))
        }
        Some(error) => Err(CommandError::failed(format!("can't write to standard output: {error}"))),
    }
}

/// Resolves once nobody reads standard output any more; never where that can't be told. A command that waits for what
/// may never come would else outlive its reader.
pub(crate) async fn unread() {
    let (gone, told) = oneshot::channel();
    // A terminal's end is a hang-up signal. The thread ends with the process.
    if !io::stdout().is_terminal() {
        std::thread::spawn(move || {
            let out = io::stdout();
            let mut watched = [PollFd::new(&out, PollFlags::empty())];
            while matches!(poll(&mut watched, None), Err(Errno::INTR)) {}
            if watched[0].revents().contains(PollFlags::ERR) {
                let _ = gone.send(());
            }
        });
        if told.await.is_ok() {
            keep(Err(io::ErrorKind::BrokenPipe.into()));
            return;
        }
    }
    std::future::pending::<()>().await;
}
