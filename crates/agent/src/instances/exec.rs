//! Programs run inside running instances for people; `probe_run` starts its own through this.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hoist_keeper::WindowSize;
use hoist_keeper::protocol::{Exec, Reply, Request};
use hoist_model::{Command, Exit, InstanceUid, Template};
use hoist_runtime::cgroup::Cgroup;
use hoist_runtime::users;
use hoist_wire::{ApiError, ErrorKind, ExecInput, ExecOutput, ExecRequest, ExecSession};
use oci_spec::runtime::Process;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::chain::chain;
use crate::host::Host;
use crate::instances::oci::{self, ProcessInput};
use crate::instances::signals;
use crate::instances::streams;

/// Chunks that may wait for the network.
const QUEUE: usize = 16;
/// Names of execs: unique in this process, and with its id in this boot.
static COUNT: AtomicU64 = AtomicU64::new(1);

/// How a program inside an instance is to be run.
pub(crate) struct Plan {
    pub(crate) exec: Exec,
    pub(crate) name: String,
}

/// A program that runs.
pub(crate) struct Running {
    /// Its process, or the one above it, on the host.
    pub(crate) pid: i32,
    /// What the keeper sent along: its pidfd, and its terminal's master.
    pub(crate) fds: Vec<OwnedFd>,
}

pub(crate) fn unavailable(uid: InstanceUid) -> ApiError {
    ApiError::new(ErrorKind::Conflict, format!("instance {} is not running", uid.short()))
        .hint("`hoist ps -a` shows why")
}

pub(crate) fn internal(what: &str, error: &dyn std::error::Error) -> ApiError {
    ApiError::new(ErrorKind::Internal, format!("{what}: {}", chain(error)))
}

/// What it takes to run a program inside an instance. Looked up in the instance's own files, which may lie on a file
/// system that does not answer: on a thread for it.
pub(crate) async fn plan(host: &Host, request: &ExecRequest) -> Result<Plan, ApiError> {
    let (template, pid) = host.running(request.instance).ok_or_else(|| unavailable(request.instance))?;
    plan_in(host, template, pid, request).await
}

/// The same in an instance of this definition, with this first process: the spec may have it no more.
pub(crate) async fn plan_in(
    host: &Host,
    template: Arc<Template>,
    pid: i32,
    request: &ExecRequest,
) -> Result<Plan, ApiError> {
    let (host, request) = (host.clone(), request.clone());
    let planned = tokio::task::spawn_blocking(move || look_up(&host, &template, pid, &request)).await;
    planned.map_err(|error| internal("exec", &error))?
}

fn look_up(host: &Host, template: &Template, pid: i32, request: &ExecRequest) -> Result<Plan, ApiError> {
    let (process, uid) = process(template, pid, request)?;
    let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let group = Cgroup::open(&host.hierarchy, &host.cgroup(request.instance));
    // The first process says which of the container's groups takes others, when there are several.
    let first = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let cgroup_dirs = group.map(|group| group.entrances_beside(&first)).unwrap_or_default();
    let terminal = request.tty.map(|(columns, rows)| WindowSize { rows, columns });
    let key = Host::key(request.instance);
    // The instance's own rules: a privileged exec has more capabilities, and no more system calls.
    let service = &template.service;
    let seccomp = oci::process::granted(template)
        .and_then(|granted| oci::seccomp::seccomp(&service.seccomp, service.privileged, granted))
        .map_err(|error| internal("exec", &error))?;
    let exec = Exec {
        key,
        exec: name.clone(),
        process,
        seccomp,
        cgroup_dirs,
        terminal,
        uid,
        init: false,
        best_effort: true,
    };
    Ok(Plan { exec, name })
}

/// The process object, the service's own with what the request says instead; and the id of its user.
fn process(template: &Template, pid: i32, request: &ExecRequest) -> Result<(Process, u32), ApiError> {
    let mut template = template.clone();
    let service = &mut template.service;
    service.entrypoint = Command::Given(Vec::new());
    service.privileged |= request.privileged;
    service.working_dir = request.working_dir.clone().or_else(|| service.working_dir.clone());
    service
        .environment
        .extend(request.environment.iter().map(|(name, value)| (name.clone(), value.as_str().into())));
    let root = rustix::fs::open(format!("/proc/{pid}/root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|_| unavailable(request.instance))?;
    let service = &template.service;
    let wanted = request.user.as_ref().or(service.user.as_ref()).or(template.image.config.user.as_ref());
    let wanted = wanted.map(String::as_str).unwrap_or_default();
    let user = users::resolve(root.as_fd(), wanted, &service.group_add)
        .map_err(|error| ApiError::new(ErrorKind::Invalid, error.to_string()))?;
    let short = request.instance.short();
    let hostname = template.service.hostname.clone().unwrap_or(short);
    let input = ProcessInput {
        template: &template,
        user: &user,
        hostname: &hostname,
        command: Some(&request.command),
        tty: request.tty.is_some(),
    };
    let process = oci::process(&input).map_err(|error| internal("exec", &error))?;
    Ok((process, user.uid))
}

/// Starts the program: with its three streams, or with a terminal, whose master comes back.
pub(crate) async fn start(
    host: &Host,
    uid: InstanceUid,
    plan: Plan,
    fds: Vec<OwnedFd>,
) -> Result<Running, ApiError> {
    match host.link.call(Request::Exec(Box::new(plan.exec)), fds).await {
        Ok((Reply::ExecStarted { pid }, fds)) => {
            host.execs.started(uid, &plan.name);
            Ok(Running { pid, fds })
        }
        Ok((Reply::LaunchFailed(failure), _)) => {
            // ENOENT: the program isn't there, which a shell tells from one that can't be run.
            let kind = if failure.errno == 2 { ErrorKind::NotFound } else { ErrorKind::Invalid };
            let error = ApiError::new(kind, failure.message);
            Err(match failure.advice {
                Some(advice) => error.hint(advice),
                None => error,
            })
        }
        Ok((other, _)) => {
            Err(ApiError::new(ErrorKind::Internal, format!("the keeper answered out of place: {other:?}")))
        }
        Err(error) => Err(internal("exec", &error)),
    }
}

pub(crate) async fn signal(host: &Host, uid: InstanceUid, name: &str, signal: i32) {
    let known = Signal::from_named_raw(signal).is_some_and(|signal| host.execs.signal(uid, name, signal));
    if !known {
        let request = Request::Signal { key: Host::key(uid), exec: Some(name.to_owned()), signal };
        let _ = host.link.tell(request, Vec::new()).await;
    }
}

/// Runs a program with its streams connected.
pub(crate) async fn session(host: &Host, request: ExecRequest) -> Result<ExecSession, ApiError> {
    let plan = plan(host, &request).await?;
    let name = plan.name.clone();
    let ended = host.execs.expect(request.instance, name.clone());
    let (output, items) = mpsc::channel(QUEUE);
    let (input, commands) = mpsc::channel(QUEUE);
    let session = Session { host: host.clone(), uid: request.instance, name, ended, output };
    if request.tty.is_some() {
        let mut fds = start(host, request.instance, plan, Vec::new()).await?.fds.into_iter().skip(1);
        let master =
            fds.next().ok_or_else(|| ApiError::new(ErrorKind::Internal, "the keeper gave no terminal"))?;
        tokio::spawn(session.with_terminal(master, commands));
    } else {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| internal("pipe", &error));
        let (stdin, stdout, stderr) = (pipe()?, pipe()?, pipe()?);
        start(host, request.instance, plan, vec![stdin.0, stdout.1, stderr.1]).await?;
        let stdin = (request.stdin && !request.detach).then_some(stdin.1);
        tokio::spawn(session.with_pipes(stdin, stdout.0, stderr.0, commands));
    }
    if request.detach {
        return Ok(ExecSession { input, output: Box::pin(futures_util::stream::empty()) });
    }
    Ok(ExecSession { input, output: Box::pin(ReceiverStream::new(items)) })
}

struct Session {
    host: Host,
    uid: InstanceUid,
    name: String,
    ended: oneshot::Receiver<Exit>,
    output: mpsc::Sender<Result<ExecOutput, ApiError>>,
}

impl Session {
    async fn with_pipes(
        self,
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
        commands: mpsc::Receiver<ExecInput>,
    ) {
        let out = tokio::spawn(streams::read(stdout, self.output.clone(), ExecOutput::Stdout));
        let err = tokio::spawn(streams::read(stderr, self.output.clone(), ExecOutput::Stderr));
        let (writer, bytes) = mpsc::channel(QUEUE);
        let writing = stdin.map(|stdin| tokio::spawn(streams::write(stdin, bytes)));
        let driver =
            tokio::spawn(drive(self.host.clone(), self.uid, self.name.clone(), commands, writer, None));
        self.finish(vec![out, err]).await;
        driver.abort();
        // What runs on in the background may never read the rest.
        writing.iter().for_each(tokio::task::JoinHandle::abort);
    }

    async fn with_terminal(self, master: OwnedFd, commands: mpsc::Receiver<ExecInput>) {
        let (Ok(reading), Ok(sizing)) = (master.try_clone(), master.try_clone()) else { return };
        let out = tokio::spawn(streams::read(reading, self.output.clone(), ExecOutput::Stdout));
        let (writer, bytes) = mpsc::channel(QUEUE);
        let writing = tokio::spawn(streams::write(master, bytes));
        let driver = tokio::spawn(drive(
            self.host.clone(),
            self.uid,
            self.name.clone(),
            commands,
            writer,
            Some(sizing),
        ));
        self.finish(vec![out]).await;
        driver.abort();
        writing.abort();
    }

    /// The exit goes out after the output. What the program left running in the background may hold its pipes open:
    /// that is waited for a moment only.
    async fn finish(self, readers: Vec<tokio::task::JoinHandle<()>>) {
        let exit = self.ended.await.unwrap_or(Exit::Unknown);
        let drained = futures_util::future::join_all(readers.into_iter().map(|reader| async move {
            let abort = reader.abort_handle();
            if tokio::time::timeout(Duration::from_millis(500), reader).await.is_err() {
                abort.abort();
            }
        }));
        drained.await;
        let _ = self.output.send(Ok(ExecOutput::Exit(exit))).await;
    }
}

/// Carries out what the other side asks. When that side goes away, the program gets what a closed terminal or pipe
/// gives it: end of input, and SIGHUP with a terminal.
async fn drive(
    host: Host,
    uid: InstanceUid,
    name: String,
    mut commands: mpsc::Receiver<ExecInput>,
    writer: mpsc::Sender<bytes::Bytes>,
    terminal: Option<OwnedFd>,
) {
    let mut writer = Some(writer);
    while let Some(command) = commands.recv().await {
        match command {
            ExecInput::Stdin(bytes) => {
                if let Some(sink) = &writer
                    && sink.send(bytes).await.is_err()
                {
                    writer = None;
                }
            }
            ExecInput::Eof => writer = None,
            ExecInput::Resize(columns, rows) => {
                if let Some(terminal) = &terminal {
                    let size = rustix::termios::Winsize {
                        ws_row: rows,
                        ws_col: columns,
                        ws_xpixel: 0,
                        ws_ypixel: 0,
                    };
                    let _ = rustix::termios::tcsetwinsize(terminal, size);
                }
            }
            ExecInput::Signal(number) => {
                signal(&host, uid, &name, number.0).await;
            }
        }
    }
    if terminal.is_some()
        && let Some(hangup) = signals::number("HUP")
    {
        signal(&host, uid, &name, hangup).await;
    }
}
