//! The streams of a running exec: keys, sizes and signals in, output and the exit code out.
//!
//! However it ends, the terminal is as it was before.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use hoist_model::Exit;
use hoist_wire::{ApiError, Client, ClusterApi, ErrorKind, ExecInput, ExecOutput, ExecRequest, ExecSession};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::error::{CommandError, code};
use crate::out;
use crate::terminal::{RawMode, size};

/// Runs the program to its end; none is waited for when it is detached.
///
/// # Errors
/// When it can't be started, its output can't be written, or this command is told to end.
pub(super) async fn run(agent: &Arc<Client>, request: ExecRequest) -> Result<u8, CommandError> {
    let (tty, stdin, detached) = (request.tty.is_some(), request.stdin, request.detach);
    // From before the terminal changes: an end by a signal would leave it so.
    let endings = Endings::listen()?;
    let ExecSession { input, mut output } = agent.exec(request).await.map_err(not_run)?;
    if detached {
        while let Some(item) = output.next().await {
            drop(item?);
        }
        return Ok(code::OK);
    }
    let _raw = if tty && stdin { Some(RawMode::enter()?) } else { None };
    if stdin {
        tokio::spawn(forward_stdin(input.clone()));
    }
    tokio::spawn(forward_signals(input, tty));
    tokio::select! {
        biased;
        code = endings.next() => Err(CommandError::silent(code)),
        done = pass_on(&mut output) => done,
        () = out::unread() => Err(CommandError::silent(code::BROKEN_PIPE)),
    }
}

async fn pass_on(output: &mut hoist_wire::OutputStream) -> Result<u8, CommandError> {
    while let Some(item) = output.next().await {
        match item? {
            ExecOutput::Stdout(bytes) => out::raw(&bytes)?,
            // Whoever closed it has seen enough of it; standard output may still be wanted.
            ExecOutput::Stderr(bytes) => drop(std::io::stderr().write_all(&bytes)),
            ExecOutput::Exit(exit) => return Ok(exit_code(exit)),
        }
    }
    Err(CommandError::failed("the agent went away before the command ended"))
}

/// As shells have it: 127 when the program isn't there, 126 when it can't be run.
fn not_run(error: ApiError) -> CommandError {
    let code = match error.kind {
        ErrorKind::NotFound => 127,
        ErrorKind::Invalid => 126,
        _ => code::FAILED,
    };
    CommandError { code, ..error.into() }
}

fn exit_code(exit: Exit) -> u8 {
    u8::try_from(exit.status()).unwrap_or(u8::MAX)
}

async fn forward_stdin(input: mpsc::Sender<ExecInput>) {
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; 16 << 10];
    loop {
        match stdin.read(&mut buffer).await {
            Ok(0) | Err(_) => {
                let _ = input.send(ExecInput::Eof).await;
                return;
            }
            Ok(n) => {
                if input.send(ExecInput::Stdin(Bytes::copy_from_slice(&buffer[..n]))).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Passes on new sizes of the terminal; without one, Ctrl-C as the signal that it is.
async fn forward_signals(input: mpsc::Sender<ExecInput>, tty: bool) {
    let (Ok(mut resized), Ok(mut interrupted)) =
        (signal(SignalKind::window_change()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    let resize = || {
        let (columns, rows) = size();
        ExecInput::Resize(columns, rows)
    };
    // The size may have changed between the question and the first moment in which that is heard.
    if tty && input.send(resize()).await.is_err() {
        return;
    }
    loop {
        let item = tokio::select! {
            _ = resized.recv(), if tty => resize(),
            _ = interrupted.recv() => ExecInput::Signal(hoist_wire::Signal(SignalKind::interrupt().as_raw_value())),
        };
        if input.send(item).await.is_err() {
            return;
        }
    }
}

/// The signals that end this command rather than the program inside.
struct Endings([(Signal, SignalKind); 3]);

impl Endings {
    fn listen() -> Result<Self, CommandError> {
        let listen = |kind| match signal(kind) {
            Ok(signal) => Ok((signal, kind)),
            Err(error) => Err(CommandError::failed(format!("can't listen for signals: {error}"))),
        };
        Ok(Self([
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
            listen(SignalKind::quit())?,
        ]))
    }

    /// The exit code of the first one, as a shell gives it.
    async fn next(mut self) -> u8 {
        let [one, two, three] = &mut self.0;
        let kind = tokio::select! {
            _ = one.0.recv() => one.1,
            _ = two.0.recv() => two.1,
            _ = three.0.recv() => three.1,
        };
        u8::try_from(128 + kind.as_raw_value()).unwrap_or(u8::MAX)
    }
}
