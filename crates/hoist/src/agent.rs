//! `hoist agent`: agent and orchestrator in one process, behind one socket.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hoist_agent::{
    Agent, Clock, Config, Entrance, Layout, LogBounds, LogFile, Loops, Ownership, StartError, StartedBy,
};
use hoist_model::chain;
use hoist_orchestrator::{Daemon, Orchestrator};
use hoist_wire::{ApiError, HostApi};
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt as _;

use crate::daemonize;
use crate::state::{self, StateDisk};

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
    let group = if args.background { daemonize::leave(&root) } else { None };
    use_one_heap();
    begin_log(&Layout::new(root.clone()), args.background || args.respawned);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(args.background, &error.to_string()),
    };
    let code = runtime.block_on(serve(&root, args));
    runtime.shutdown_timeout(Duration::from_millis(100));
    if let Some(group) = group {
        group.remove();
    }
    code
}

/// Threads come and go here. The C library would give each of them a heap of its own, which grows by a page at a time
/// and keeps what others have freed.
fn use_one_heap() {
    // SAFETY: no other thread runs yet; an unknown parameter changes nothing.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Events go to the agent's log; in the foreground to standard error as well. `HOIST_LOG` says which.
fn begin_log(layout: &Layout, background: bool) {
    let filter = EnvFilter::try_from_env("HOIST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let file = Mutex::new(LogFile::new(layout.daemon_log("agent"), LogBounds::default(), background));
    // What can't be logged, as on a full disk, would be said on the same standard error, by a macro that panics.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).log_internal_errors(false);
    if background {
        log.with_writer(file).init();
    } else {
        log.with_writer(file.and(std::io::stderr)).init();
    }
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
        daemonize::say(&format!("hoist agent: {line}"));
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
    let mut loops = Loops::new();
    let parts = match start(&ownership, args, &mut loops).await {
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
    let served = tokio::select! {
        served = hoist_wire::serve(listener, Arc::new(orchestrator), ended) => served,
        // Nothing is ended in good order: whatever is under way may wait for what is no more. Without a goodbye the
        // keeper starts another agent, later each time.
        why = first_failure(&mut loops) => {
            return fail(false, &format!("ending, to be started again by the keeper: {why}"));
        }
    };
    agent.end().await;
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(false, &error.message),
    }
}

/// Why a loop can't go on, once one can't.
async fn first_failure(loops: &mut Loops) -> String {
    loop {
        match loops.join_next().await {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => return chain(&*error),
            Some(Err(broken)) => return format!("a loop broke off: {broken}"),
            None => std::future::pending().await,
        }
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
    loops: &mut Loops,
) -> Result<Parts, Box<dyn std::error::Error>> {
    let layout = ownership.layout();
    let clock = Clock::new()?;
    let (store, planned) = state::open(layout)?;
    let config = Config {
        root: layout.root().to_owned(),
        exe: std::env::current_exe()?,
        started_by: if args.respawned { StartedBy::Crash } else { StartedBy::Person },
        clock: clock.clone(),
        planned,
    };
    let agent = hoist_agent::start(ownership, config, loops).await?;
    let stop = Arc::new(Notify::new());
    let daemon =
        ThisProcess { agent: agent.clone(), root: layout.root().to_owned(), stop: Arc::clone(&stop) };
    let config = hoist_orchestrator::Config {
        store: Arc::new(store),
        host: Arc::new(agent.clone()) as Arc<dyn HostApi>,
        host_id: agent.host_id(),
        accepted: agent.accepted().clone(),
        pool: hoist_agent::pool(layout)?,
        clock: Arc::new(move || clock.now()),
        daemon: Arc::new(daemon),
        disk: Arc::new(StateDisk(agent.reserve().clone())),
    };
    let orchestrator = Orchestrator::start(config, loops)?;
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

    fn notices(&self) -> Vec<String> {
        self.agent.notices()
    }

    async fn shutdown(&self, stop_instances: bool) -> Result<(), ApiError> {
        if stop_instances {
            self.agent.stop_instances().await?;
        } else {
            self.agent.rest_unless_running().await?;
        }
        self.stop.notify_one();
        Ok(())
    }
}
