//! `hoist exec`: a command inside a running instance, with a terminal when there is one.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use hoist_model::{Exit, ServiceName};
use hoist_wire::{
    ApiError, Client, ClusterApi, ErrorKind, ExecInput, ExecOutput, ExecRequest, ExecSession, StackStatus,
};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::{self, Global};
use crate::error::CommandError;
use crate::project::Target;
use crate::select::is_file;
use crate::terminal::{RawMode, size};

/// Runs the command; its exit code is the program's.
///
/// # Errors
/// When the instance doesn't run, or the program can't be started.
pub(crate) async fn run(global: &Global, args: &args::Exec) -> Result<u8, CommandError> {
    let (file, service, command) = split(global, &args.words)?;
    let target = Target::resolve(global, &[], &[file, vec![service.to_string()]].concat())?;
    let (agent, status) = target.up_status().await?;
    let tty = !args.no_tty && rustix::termios::isatty(std::io::stdin());
    let request = ExecRequest {
        instance: instance(&status, &service, args.index)?,
        command,
        environment: environment(&args.env)?,
        user: args.user.clone(),
        working_dir: args.workdir.clone(),
        tty: tty.then(size),
        stdin: !args.detach,
        privileged: args.privileged,
        detach: args.detach,
    };
    attach(&agent, request, tty).await
}

type Words = (Vec<String>, ServiceName, Vec<String>);

/// `[FILE] SERVICE COMMAND [ARG]...`
fn split(global: &Global, words: &[String]) -> Result<Words, CommandError> {
    let (file, rest) = match words.split_first() {
        Some((first, rest)) if global.files.is_empty() && is_file(first) => (vec![first.clone()], rest),
        _ => (Vec::new(), words),
    };
    let Some((service, command)) = rest.split_first().filter(|(_, command)| !command.is_empty()) else {
        return Err(CommandError::usage("exec takes a service and a command").hint("hoist exec web ls /"));
    };
    let service =
        ServiceName::new(service.as_str()).map_err(|error| CommandError::usage(error.to_string()))?;
    Ok((file, service, command.to_vec()))
}

fn instance(
    status: &StackStatus,
    service: &ServiceName,
    index: u32,
) -> Result<hoist_model::InstanceUid, CommandError> {
    let of_service = status.instances.iter().filter(|row| row.report.slot.service == *service);
    let running = of_service.filter(|row| row.report.pid.is_some());
    // Without --index the first that runs will do: number 1 may just be restarting.
    let exact = running.clone().find(|row| row.report.slot.index == index);
    let found = exact.or_else(|| running.clone().next().filter(|_| index == 1));
    found.map(|row| row.uid).ok_or_else(|| {
        CommandError::failed(format!("service {service} has no running instance {index}"))
            .hint("`hoist ps -a` shows why")
    })
}

fn environment(words: &[String]) -> Result<BTreeMap<String, String>, CommandError> {
    let one = |word: &String| match word.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        // As with docker: a name alone passes this process's value on.
        None => std::env::var(word)
            .map(|value| (word.clone(), value))
            .map_err(|_| CommandError::usage(format!("{word} is not set here")).hint("write NAME=VALUE")),
    };
    words.iter().map(one).collect()
}

async fn attach(agent: &Arc<Client>, request: ExecRequest, tty: bool) -> Result<u8, CommandError> {
    let detached = request.detach;
    let ExecSession { input, mut output } = agent.exec(request).await.map_err(not_run)?;
    let _raw = if tty { Some(RawMode::enter()?) } else { None };
    if !detached {
        tokio::spawn(forward_stdin(input.clone()));
        tokio::spawn(forward_signals(input, tty));
    }
    while let Some(item) = output.next().await {
        match item? {
            ExecOutput::Stdout(bytes) => write(&mut std::io::stdout(), &bytes),
            ExecOutput::Stderr(bytes) => write(&mut std::io::stderr(), &bytes),
            ExecOutput::Exit(exit) => return Ok(exit_code(exit)),
        }
    }
    if detached {
        return Ok(0);
    }
    Err(CommandError::failed("the agent went away before the command ended"))
}

/// As shells have it: 127 when the program isn't there, 126 when it can't be run.
fn not_run(error: ApiError) -> CommandError {
    let code = match error.kind {
        ErrorKind::NotFound => 127,
        ErrorKind::Invalid => 126,
        _ => crate::error::code::FAILED,
    };
    CommandError { code, ..error.into() }
}

fn write(sink: &mut impl Write, bytes: &Bytes) {
    // Whoever closed the pipe has seen enough; the program's end still decides the exit code.
    let _ = sink.write_all(bytes).and_then(|()| sink.flush());
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
    loop {
        let item = tokio::select! {
            _ = resized.recv(), if tty => {
                let (columns, rows) = size();
                ExecInput::Resize(columns, rows)
            }
            _ = interrupted.recv() => ExecInput::Signal(hoist_wire::Signal(SignalKind::interrupt().as_raw_value())),
        };
        if input.send(item).await.is_err() {
            return;
        }
    }
}
