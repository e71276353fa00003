//! `hoist agent`: agent and orchestrator in one process, behind one socket.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hoist_agent::{Agent, Clock, Config, Entrance, Ownership, StartError, StartedBy};
use hoist_orchestrator::store::Embedded;
use hoist_orchestrator::{Daemon, Orchestrator};
use hoist_wire::{ApiError, HostApi};
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

use crate::daemonize;

/// How long an agent that has nothing to look after waits for another call.
const LINGER: Duration = Duration::from_millis(300);
/// How long a command that has connected may take to put its question.
const LAST_CALL: Duration = Duration::from_millis(100);

/// Runs until there is nothing left to look after, or a person stops it.
pub(crate) fn run(root: &Path, args: &hoist_cli::args::Agent) -> ExitCode {
    let Ok(root) = std::path::absolute(root) else {
        eprintln!("error: {} can't be made an absolute path", root.display());
        return ExitCode::FAILURE;
    };
    if args.background {
        daemonize::leave(&root);
    }
    use_one_heap();
    let filter = EnvFilter::try_from_env("HOIST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(args.background, &error.to_string()),
    };
    let code = runtime.block_on(serve(&root, args));
    runtime.shutdown_timeout(Duration::from_millis(100));
    if args.background {
        daemonize::remove_group(&root);
    }
    code
}

/// Threads come and go here. The C library would give each of them a heap of its own, which grows by a page at a time
/// and keeps what others have freed.
fn use_one_heap() {
    // SAFETY: no other thread runs yet; an unknown parameter changes nothing.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// The first line of a background agent tells the command that started it how it went.
fn say(background: bool, line: &str) {
    if background {
        let mut out = std::io::stdout();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        // Nobody reads any more: what is printed by mistake must not fail.
        if let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdout(null);
        }
    } else {
        eprintln!("hoist agent: {line}");
    }
}

fn fail(background: bool, reason: &str) -> ExitCode {
    tracing::error!("{reason}");
    say(background, reason);
    ExitCode::FAILURE
}

async fn serve(root: &Path, args: &hoist_cli::args::Agent) -> ExitCode {
    let ownership = match Ownership::take(root) {
        Ok(ownership) => ownership,
        Err(StartError::Owned(_)) if args.background => {
            say(true, "lost");
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(args.background, &chain(&error)),
    };
    let parts = match start(&ownership, args).await {
        Ok(parts) => parts,
        Err(error) => return fail(args.background, &chain(&*error)),
    };
    let listener = hoist_agent::bind(&ownership).and_then(tokio::net::UnixListener::from_std);
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return fail(args.background, &format!("can't listen: {error}")),
    };
    say(args.background, "ready");
    let Parts { agent, orchestrator, stop } = parts;
    let (idle, ending, entrance) = (orchestrator.clone(), agent.clone(), ownership.entrance());
    let stays = !args.background;
    let ended = async move {
        tokio::select! {
            () = stop.notified() => {}
            () = unneeded(&idle, &entrance), if !stays => {}
            () = terminated() => {}
        }
        // Nobody new comes in: what is listening still is not served any more.
        let _ = entrance.hide();
        // Calls under way are waited for, and a build may take long.
        ending.cancel_builds();
    };
    let served = hoist_wire::serve(listener, Arc::new(orchestrator), ended).await;
    agent.end().await;
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(false, &error.message),
    }
}

/// Resolves once nothing is left to do and nobody is about to call: a command that connected just before it was decided
/// has its question put while the entrance is hidden, and then it is shown again.
async fn unneeded(orchestrator: &Orchestrator, entrance: &Entrance) {
    loop {
        orchestrator.idle(LINGER).await;
        let hidden = entrance.hide();
        let quiet = tokio::time::timeout(LAST_CALL * 3 / 2, orchestrator.idle(LAST_CALL)).await.is_ok();
        if quiet || hidden.and_then(|()| entrance.show()).is_err() {
            return;
        }
    }
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

struct Parts {
    agent: Agent,
    orchestrator: Orchestrator,
    stop: Arc<Notify>,
}

async fn start(
    ownership: &Ownership,
    args: &hoist_cli::args::Agent,
) -> Result<Parts, Box<dyn std::error::Error>> {
    let layout = ownership.layout();
    let clock = Clock::new()?;
    let config = Config {
        root: layout.root().to_owned(),
        exe: std::env::current_exe()?,
        started_by: if args.respawned { StartedBy::Crash } else { StartedBy::Person },
        clock: clock.clone(),
    };
    let agent = hoist_agent::start(ownership, config).await?;
    let stop = Arc::new(Notify::new());
    let daemon =
        ThisProcess { agent: agent.clone(), root: layout.root().to_owned(), stop: Arc::clone(&stop) };
    let orchestrator = Orchestrator::start(hoist_orchestrator::Config {
        store: Arc::new(Embedded::open(&layout.store())?),
        host: Arc::new(agent.clone()) as Arc<dyn HostApi>,
        pool: hoist_agent::pool(layout)?,
        clock: Arc::new(move || clock.now()),
        daemon: Arc::new(daemon),
    })?;
    Ok(Parts { agent, orchestrator, stop })
}

struct ThisProcess {
    agent: Agent,
    root: PathBuf,
    stop: Arc<Notify>,
}

#[async_trait]
impl Daemon for ThisProcess {
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn pids(&self) -> [i32; 3] {
        self.agent.processes().ids()
    }

    fn root(&self) -> PathBuf {
        self.root.clone()
    }

    async fn shutdown(&self, stop_instances: bool) -> Result<(), ApiError> {
        if stop_instances {
            self.agent.stop_instances().await?;
        }
        self.stop.notify_one();
        Ok(())
    }
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
