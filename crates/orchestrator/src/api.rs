//! [`ClusterApi`] over the loop: requests become operations, questions are answered from the last snapshot.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use hoist_model::{HostId, InstanceUid, Preview, StackId};
use hoist_planner::Now;
use hoist_planner::cluster::{Accepted, ClusterLoop, Input, Pool, Request};
use hoist_wire::build::{BuildAnswers, BuildApi, BuildRequest, BuildStream};
use hoist_wire::{
    AgentStatus, ApiError, ClusterApi, Diff, Down, ErrorKind, EventStream, ExecRequest, ExecSession,
    FieldDifference, HostApi, LogStream, LogsRequest, Plan, PutStack, RegistryAccess, Restart, Rollback,
    RollbackPreview, Signal, StackHistory, StackStatus, Start, StatusStream, Stop,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::WatchStream;

use crate::calls::{Busy, Calls};
use crate::disk::Disk;
use crate::effects::ClusterEffects;
use crate::loops::Loops;
use crate::operations::Operations;
use crate::publish::Outbox;
use crate::recover::StartError;
use crate::requests::{down_request, seconds, up_request};
use crate::run::Run;
use crate::shell::Shell;
use crate::snapshot::Snapshot;
use crate::store::StateStore;
use crate::{effects, preview, recover, revisions, status};

/// How long a question waits for the host's first report.
const FIRST_REPORT: Duration = Duration::from_secs(5);

/// What an orchestrator is made of.
pub struct Config {
    /// Where it keeps its state.
    pub store: Arc<dyn StateStore>,
    /// The one host it plans for.
    pub host: Arc<dyn HostApi>,
    /// That host's name.
    pub host_id: HostId,
    /// What that host has accepted: a store that was lost is filled from it.
    pub accepted: Accepted,
    /// Address ranges.
    pub pool: Pool,
    /// Reads the clocks.
    pub clock: Arc<dyn Fn() -> Now + Send + Sync>,
    /// The daemon that it lives in.
    pub daemon: Arc<dyn Daemon>,
    /// The disk that its state lies on.
    pub disk: Arc<dyn Disk>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// The process that the orchestrator lives in, as `agent status` and `agent stop` see it.
#[async_trait]
pub trait Daemon: Send + Sync {
    /// Version of the binary.
    fn version(&self) -> String;
    /// Process ids of agent, keeper, dns; 0 when not running.
    fn pids(&self) -> [i32; 3];
    /// The state folder.
    fn root(&self) -> PathBuf;
    /// What a person should know of the state: files that were damaged and set aside.
    fn notices(&self) -> Vec<String>;
    /// Ends the processes; stops instances first when `stop_instances`, else refuses while one runs.
    async fn shutdown(&self, stop_instances: bool) -> Result<(), ApiError>;
}

/// The running orchestrator.
#[derive(Clone)]
pub struct Orchestrator {
    pub(crate) inbox: mpsc::UnboundedSender<Input>,
    pub(crate) operations: Operations,
    pub(crate) snapshot: watch::Receiver<Snapshot>,
    pub(crate) host: Arc<dyn HostApi>,
    daemon: Arc<dyn Daemon>,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Fn() -> Now + Send + Sync>,
    calls: Arc<Calls>,
}

impl std::fmt::Debug for Orchestrator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orchestrator").finish_non_exhaustive()
    }
}

impl Orchestrator {
    /// Reads the state, takes over leadership and starts what goes on for as long as the process.
    ///
    /// # Errors
    /// When the state can't be read.
    pub fn start(config: Config, loops: &mut Loops) -> Result<Self, StartError> {
        let restored = recover::load(&*config.store, &config.host_id, &config.accepted, config.pool)
            .map_err(StartError::of)?;
        let (control, effects) = ClusterLoop::restore(restored);
        let (inbox, inputs) = mpsc::unbounded_channel();
        // What is wanted is known at once; what is, with the first report.
        let begun = Snapshot {
            stacks: Arc::new(control.stacks().clone()),
            specs: Arc::new(control.specs().clone()),
            rest: Arc::new(effects::rest(&control)),
            view: Arc::default(),
        };
        let (snapshot, shown) = watch::channel(begun);
        let operations = Operations::default();
        let outbox = Outbox::start(&config.host, outdated(&config.host, inbox.clone()), loops);
        let acting = ClusterEffects {
            host: Arc::clone(&config.host),
            outbox,
            operations: operations.clone(),
            inbox: inbox.clone(),
            snapshot,
        };
        let run = Run {
            shell: Shell::new(control, effects, acting),
            store: config.store,
            disk: Arc::clone(&config.disk),
            clock: Arc::clone(&config.clock),
        };
        loops.spawn(async move { Ok(run.run(inputs).await?) });
        let (reporting, reported) = (Arc::clone(&config.host), inbox.clone());
        loops.spawn(async move {
            forward_reports(reporting, reported).await;
            Ok(())
        });
        let Config { host, daemon, disk, clock, .. } = config;
        Ok(Self { inbox, operations, snapshot: shown, host, daemon, disk, clock, calls: Arc::default() })
    }

    /// Resolves once nothing is wanted, nothing is left, and nobody has called for `linger`.
    pub async fn idle(&self, linger: Duration) {
        let mut snapshot = self.snapshot.clone();
        loop {
            let before = self.calls.begun();
            let empty = |shown: &Snapshot| {
                let nothing_left = |report: &hoist_model::HostReport| {
                    report.settled && report.instances.is_empty() && report.networks.is_empty()
                };
                shown.stacks.is_empty() && !shown.view.is_empty() && shown.view.values().all(nothing_left)
            };
            if snapshot.wait_for(empty).await.is_err() {
                return;
            }
            tokio::time::sleep(linger).await;
            let quiet = self.calls.begun() == before && self.calls.under_way() == 0;
            if empty(&snapshot.borrow_and_update()) && quiet {
                return;
            }
        }
    }

    async fn request(&self, stack: StackId, request: Request) -> Result<EventStream, ApiError> {
        self.request_with(stack, request, RegistryAccess::default()).await
    }

    async fn request_with(
        &self,
        stack: StackId,
        request: Request,
        access: RegistryAccess,
    ) -> Result<EventStream, ApiError> {
        // Until its events have ended, or nobody follows: a pull before anything is wanted may take long.
        let busy = self.busy();
        // What a request means depends on what is: before the first report nothing would seem to have ended.
        let _ = self.shown().await;
        let (op, events, accepted) = self.operations.begin(stack);
        self.operations.set_access(op, access);
        self.inbox.send(Input::Request { op, request: Box::new(request) }).map_err(|_| stopped())?;
        tokio::select! {
            accepted = accepted => accepted.map_err(|_| stopped())??,
            full = self.disk.exhausted() => {
                return Err(match self.operations.withdraw(op) {
                    true => full,
                    false => full.hint("free space on it: what was asked is done then, without another command"),
                });
            }
        }
        Ok(busy.during(events))
    }

    /// Nothing that needs room begins on a full disk: it would end half done, with what is in reserve used up.
    pub(crate) fn need_room(&self) -> Result<(), ApiError> {
        self.disk.full().map_or(Ok(()), Err)
    }

    /// What a person should know of the state that all stacks share.
    fn notices(&self) -> impl Iterator<Item = String> {
        self.daemon.notices().into_iter().chain(self.disk.full().map(|error| error.message))
    }

    /// What is known, once the host has reported for the first time.
    pub(crate) async fn shown(&self) -> Snapshot {
        let mut snapshot = self.snapshot.clone();
        let reported = snapshot.wait_for(|snapshot| !snapshot.view.is_empty());
        let _ = tokio::time::timeout(FIRST_REPORT, reported).await;
        self.snapshot.borrow().clone()
    }

    /// Until this is dropped, the daemon has something to look after.
    pub(crate) fn busy(&self) -> Busy {
        Busy::begin(&self.calls)
    }
}

fn outdated(
    host: &Arc<dyn HostApi>,
    inbox: mpsc::UnboundedSender<Input>,
) -> impl Fn(hoist_model::Generation) + Send + 'static {
    let host = Arc::clone(host);
    move |current| {
        let (host, inbox) = (Arc::clone(&host), inbox.clone());
        tokio::spawn(async move {
            // The host's id is in its report; a host that has never reported can't have refused a spec.
            if let Some(report) = host.reports().next().await {
                let _ = inbox.send(Input::Outdated { host: report.host, current });
            }
        });
    }
}

async fn forward_reports(host: Arc<dyn HostApi>, inbox: mpsc::UnboundedSender<Input>) {
    let mut reports = host.reports();
    while let Some(report) = reports.next().await {
        if inbox.send(Input::Report(Box::new(report))).is_err() {
            return;
        }
    }
}

pub(crate) fn stopped() -> ApiError {
    ApiError::new(
        ErrorKind::Unavailable,
        "the agent is ending, and is started again when that was not asked for",
    )
    .hint("run the command again; `agent.log` in the state folder says why it ended")
}

#[async_trait]
impl ClusterApi for Orchestrator {
    async fn put_stack(&self, put: PutStack) -> Result<EventStream, ApiError> {
        self.need_room()?;
        if !put.may_destroy {
            let now = (self.clock)();
            preview::spares(&*self.host, &self.shown().await, &put, now).await?;
        }
        let id = put.stack.id.clone();
        let (request, access) = up_request(put);
        self.request_with(id, Request::Up(request), access).await
    }

    async fn plan(&self, plan: Plan) -> Result<Preview, ApiError> {
        let _busy = self.busy();
        let now = (self.clock)();
        preview::preview(&*self.host, &self.shown().await, plan, now).await
    }

    async fn down(&self, down: Down) -> Result<EventStream, ApiError> {
        self.request(down.stack.clone(), down_request(down)).await
    }

    async fn stop(&self, stop: Stop) -> Result<EventStream, ApiError> {
        let (stack, services) = (stop.select.stack, stop.select.services);
        let timeout = if stop.kill { Some(Duration::ZERO) } else { seconds(stop.timeout) };
        self.request(stack.clone(), Request::Stop { stack, services, timeout }).await
    }

    async fn start(&self, start: Start) -> Result<EventStream, ApiError> {
        self.need_room()?;
        let (stack, services, wait) = (start.select.stack, start.select.services, start.wait);
        self.request(stack.clone(), Request::Start { stack, services, wait }).await
    }

    async fn restart(&self, restart: Restart) -> Result<EventStream, ApiError> {
        self.need_room()?;
        let (stack, services) = (restart.select.stack, restart.select.services);
        let (no_deps, timeout) = (restart.no_deps, seconds(restart.timeout));
        self.request(stack.clone(), Request::Restart { stack, services, no_deps, timeout }).await
    }

    async fn rollback(&self, back: Rollback) -> Result<EventStream, ApiError> {
        self.need_room()?;
        let Rollback { stack, to, by, wait } = back;
        self.request(stack.clone(), Request::Rollback { stack, to, by, wait }).await
    }

    async fn foresee_rollback(&self, back: Rollback) -> Result<RollbackPreview, ApiError> {
        let _busy = self.busy();
        let shown = self.shown().await;
        revisions::foresee(&shown.stacks, &shown.view, &back.stack, back.to)
    }

    async fn diff(&self, request: Diff) -> Result<Vec<FieldDifference>, ApiError> {
        let _busy = self.busy();
        revisions::diff(&self.shown().await.stacks, &request)
    }

    async fn history(&self, stack: StackId) -> Result<StackHistory, ApiError> {
        let _busy = self.busy();
        revisions::history(&self.shown().await.stacks, &stack)
    }

    async fn resume(&self, stack: StackId, seq: u64) -> Result<EventStream, ApiError> {
        self.operations.resume(&stack, seq)
    }

    async fn stack(&self, id: StackId) -> Result<StackStatus, ApiError> {
        let mut status = status::stack(&self.shown().await, &id).ok_or_else(|| revisions::not_up(&id))?;
        let mut log = self.host.health_log().await?;
        for instance in &mut status.instances {
            instance.probes = log.remove(&instance.uid).unwrap_or_default();
        }
        status.warnings.extend(self.notices());
        Ok(status)
    }

    async fn watch(&self, id: StackId) -> Result<StatusStream, ApiError> {
        self.stack(id.clone()).await?;
        let statuses =
            WatchStream::new(self.snapshot.clone()).map(move |snapshot| status::stack(&snapshot, &id));
        // The stream ends with its stack; reports about other stacks change nothing here.
        let present = statuses.take_while(|status| std::future::ready(status.is_some()));
        let mut last = None;
        let changed = present.filter_map(move |status| {
            let news = (status != last).then(|| status.clone()).flatten();
            last = status;
            std::future::ready(news.map(Ok))
        });
        Ok(Box::pin(changed))
    }

    async fn stacks(&self) -> Result<Vec<StackStatus>, ApiError> {
        Ok(status::stacks(&self.shown().await))
    }

    async fn exec(&self, request: ExecRequest) -> Result<ExecSession, ApiError> {
        self.host.exec(request).await
    }

    async fn logs(&self, request: LogsRequest) -> Result<LogStream, ApiError> {
        self.host.logs(request).await
    }

    async fn kill(&self, instance: InstanceUid, signal: Signal) -> Result<(), ApiError> {
        self.host.kill(instance, signal).await
    }

    async fn status(&self) -> Result<AgentStatus, ApiError> {
        let report = self.host.reports().next().await.ok_or_else(stopped)?;
        let snapshot = self.snapshot.borrow().clone();
        Ok(AgentStatus {
            version: self.daemon.version(),
            pids: self.daemon.pids(),
            root: self.daemon.root(),
            stacks: snapshot.stacks.keys().cloned().collect(),
            warnings: status::warnings(&snapshot, |_| true).into_iter().chain(self.notices()).collect(),
            report,
        })
    }

    async fn shutdown(&self, force: bool) -> Result<(), ApiError> {
        self.daemon.shutdown(force).await
    }
}

#[async_trait]
impl BuildApi for Orchestrator {
    async fn build(&self, request: BuildRequest, answers: BuildAnswers) -> Result<BuildStream, ApiError> {
        let busy = self.busy();
        self.make_room().await;
        self.need_room()?;
        Ok(busy.during(self.host.build(request, answers).await?))
    }
}
