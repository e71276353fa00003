//! Reaches the agent of a root, starting it when there is none.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hoist_wire::{ApiError, Client, ErrorKind, SocketPath};
use rustix::fs::{FlockOperation, flock};

use crate::error::CommandError;

/// How long another command's agent may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a killed agent may take to be started again.
const RETURN: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(20);

/// How long a command that only reads goes on asking while the agent comes back.
const AGAIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// How often starting is tried when the agent is killed while it starts.
const STARTS: u32 = 5;

/// Asks an agent for something that changes nothing, and asks again for a while when it goes away: its keeper starts
/// another, or this does. The connection that answered comes along.
///
/// # Errors
/// The agent's answer when that is an error; that there is none, after a while.
pub(crate) async fn reading<T, F>(
    root: &Path,
    ask: impl Fn(Arc<Client>) -> F,
) -> Result<(Arc<Client>, T), ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    let deadline = Instant::now() + AGAIN;
    loop {
        let client = connect(root).await.map_err(|error| ApiError {
            hint: error.hint,
            ..ApiError::new(ErrorKind::Internal, error.message)
        })?;
        let client = Arc::new(client);
        match ask(Arc::clone(&client)).await {
            Err(error) if error.kind == ErrorKind::Unavailable && Instant::now() < deadline => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) if error.kind == ErrorKind::Unavailable => return Err(no_answer(root, &error)),
            answer => return answer.map(|answer| (client, answer)),
        }
    }
}

fn no_answer(root: &Path, error: &ApiError) -> ApiError {
    let what = format!("the agent has not answered for {} s: {}", AGAIN.as_secs(), error.message);
    let log = root.join("agent.log");
    ApiError::new(ErrorKind::Unavailable, what)
        .hint(format!("see {}; nothing was changed, and the command can be run again", log.display()))
}

/// The socket of the agent that owns `root`.
#[must_use]
pub(crate) fn socket(root: &Path) -> PathBuf {
    root.join("agent.sock")
}

/// Connects to the agent, if one runs.
///
/// # Errors
/// When this user may not, or the root is none: whether one runs can't be told then.
pub(crate) async fn running(root: &Path) -> Result<Option<Client>, CommandError> {
    match Client::connect(&socket(root)).await {
        Ok(client) => Ok(Some(client)),
        Err(_) => refused(root).map_or(Ok(None), Err),
    }
}

/// Why an agent that may be running can't be asked; none where nobody listens, or the state is not there at all.
fn refused(root: &Path) -> Option<CommandError> {
    let reached = SocketPath::of(&socket(root)).and_then(|way| UnixStream::connect(way.path()));
    let Err(error) = reached else { return None };
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Some(denied(&format!("the state in {} is another user's", root.display())))
        }
        io::ErrorKind::NotADirectory => Some(no_folder(root)),
        _ => None,
    }
}

/// This user may not do it.
fn denied(why: &str) -> CommandError {
    CommandError::failed(format!("permission denied: {why}"))
        .hint("run the command with sudo: who starts containers can do on this machine whatever root can")
}

fn no_folder(root: &Path) -> CommandError {
    CommandError::failed(format!("{} is not a folder, so it can't hold the state", root.display()))
        .hint("`--root` or HOIST_ROOT names the folder")
}

/// Whether something was ever brought up in a root.
///
/// # Errors
/// When this user may not look.
pub(crate) fn is_used(root: &Path) -> Result<bool, CommandError> {
    // One that has lost the first has the second still.
    let exists = ["store.redb", "ledger.json"].iter().map(|name| root.join(name).try_exists());
    match exists.collect::<io::Result<Vec<bool>>>() {
        Ok(exist) => Ok(exist.contains(&true)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(denied(&format!("the state in {} is another user's", root.display())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(no_folder(root)),
        Err(error) => Err(CommandError::failed(format!("{}: {error}", root.display()))),
    }
}

/// Connects to the agent, if one runs, starts or comes back: for commands that must not start one themselves.
///
/// # Errors
/// As [`running`].
pub(crate) async fn found(root: &Path) -> Result<Option<Client>, CommandError> {
    let began = Instant::now();
    loop {
        if let Some(client) = running(root).await? {
            return Ok(Some(client));
        }
        let patience = if is_owned(root) {
            PATIENCE
        } else if socket(root).exists() {
            // One that ends by itself takes its socket away. This one was killed, and its keeper starts another.
            RETURN
        } else {
            return Ok(None);
        };
        if began.elapsed() > patience {
            return Ok(None);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether an agent owns `root`, listening yet or no more.
fn is_owned(root: &Path) -> bool {
    let Ok(lock) = OpenOptions::new().write(true).open(root.join("agent.lock")) else { return false };
    flock(&lock, FlockOperation::NonBlockingLockShared).is_err()
}

/// Connects to the agent; starts one when none runs.
///
/// # Errors
/// When it can't be started; the message is the agent's own.
pub(crate) async fn connect(root: &Path) -> Result<Client, CommandError> {
    if let Some(client) = running(root).await? {
        return Ok(client);
    }
    let root = absolute(root)?;
    if !rustix::process::geteuid().is_root() {
        return Err(denied("starting containers needs root"));
    }
    // Of many commands at once on a cold root, one agent wins the lock; the others' agents end, and they wait here. An
    // agent that is just ending has the lock too, and won't answer any more: so starting is tried again.
    let deadline = Instant::now() + PATIENCE;
    let mut deaths = 0;
    loop {
        let starting = root.clone();
        let started = tokio::task::spawn_blocking(move || start(&starting)).await;
        match started.map_err(|error| CommandError::failed(error.to_string()))?? {
            Started::Up => {}
            Started::Died if deaths < STARTS => {
                deaths += 1;
                tokio::time::sleep(PAUSE * deaths).await;
                continue;
            }
            Started::Died => {
                return Err(CommandError::failed("the agent ended before it was ready")
                    .hint(format!("its log is {}", root.join("agent.log").display())));
            }
        }
        match Client::connect(&socket(&root)).await {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Returns once no agent owns `root` any more, or after a while.
pub(crate) async fn until_gone(root: &Path) {
    let deadline = Instant::now() + PATIENCE;
    let Ok(lock) = OpenOptions::new().write(true).open(root.join("agent.lock")) else { return };
    while Instant::now() < deadline {
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn absolute(root: &Path) -> Result<PathBuf, CommandError> {
    std::path::absolute(root).map_err(|error| CommandError::failed(format!("{}: {error}", root.display())))
}

/// What became of an agent that was started.
enum Started {
    /// It is there, or another one is.
    Up,
    /// It ended without a word: somebody killed it.
    Died,
}

/// Starts an agent and waits for its first line: `ready`, `lost`, or what went wrong.
fn start(root: &Path) -> Result<Started, CommandError> {
    let fail =
        |what: &str, error: io::Error| CommandError::failed(format!("{what} {}: {error}", root.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(|error| {
        if root.exists() { no_folder(root) } else { fail("can't make the state folder", error) }
            .hint("`--root` or HOIST_ROOT names another folder")
    })?;
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(root.join("agent.log"));
    let log = log.map_err(|e| fail("can't write the agent's log in", e))?;
    let exe = std::env::current_exe().map_err(|e| fail("can't find the hoist binary for", e))?;
    let mut child = Command::new(exe)
        .args(["agent", "--background", "--root"])
        .arg(root)
        // A daemon must not depend on the shell that happened to start it.
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(std::env::vars_os().filter(|(name, _)| name == "HOIST_LOG" || name == "HOIST_BOOT_ID"))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|e| fail("can't start an agent for", e))?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut said).map_err(|e| fail("can't hear the agent of", e))?;
    }
    match said.trim_end() {
        "ready" | "lost" => Ok(Started::Up),
        "" => Ok(Started::Died),
        reason => Err(CommandError::failed(format!("the agent can't start: {reason}"))),
    }
}
