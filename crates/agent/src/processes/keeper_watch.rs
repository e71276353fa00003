//! Starts the keeper when there is none, adopts what it keeps, turns its events into inputs, and starts it again when
//! it dies. The keeper does the same for the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use hoist_keeper::protocol::{Event, ExitRecord, HandBack, Phase, Reply, Request, Status};
use hoist_model::{Exit, InstanceUid, Moment};
use hoist_planner::host::{Adopted, Input, Process};
use hoist_runtime::identity::ProcessIdentity;
use tokio::sync::{mpsc, oneshot};

use crate::control::clock::Clock;
use crate::control::inbox::{Inbox, Message};
use crate::host::Host;
use crate::instances::groups;
use crate::processes::exit::exit;
use crate::processes::link::{FromKeeper, LinkError};
use crate::processes::spawn::Spawner;
use crate::processes::take_up::{Run, take_up};

/// How long a new keeper may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long another keeper, which has the lock, may take until it answers.
const MOMENT: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(5);
/// How often a keeper is started in place of one that ended before it was ready.
const STARTS: u32 = 5;

/// The keeper can't be started or spoken to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeeperError {
    /// Its process can't be started.
    #[error("can't start the keeper")]
    Spawn(#[source] std::io::Error),
    /// It ended before it answered.
    #[error("the keeper ended before it was ready; its log is {0}")]
    Ended(PathBuf),
    /// It runs, but doesn't answer.
    #[error("the keeper does not answer")]
    Silent(#[source] hoist_keeper::client::ConnectError),
    /// It answers, but not as it should.
    #[error("the keeper can't say what it keeps: {0}")]
    List(String),
}

/// Looks after the keeper.
pub(crate) struct KeeperWatch {
    pub(crate) host: Host,
    pub(crate) clock: Clock,
    pub(crate) inbox: Inbox,
    pub(crate) spawner: Spawner,
    pub(crate) events: mpsc::UnboundedReceiver<FromKeeper>,
    pub(crate) pid: Arc<AtomicI32>,
    /// The runs that the journal knew when this agent started.
    pub(crate) journalled: BTreeMap<InstanceUid, Run>,
}

/// What the keeper keeps, and what runs without one.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) processes: BTreeMap<InstanceUid, Process>,
    pub(crate) launching: BTreeSet<InstanceUid>,
    pub(crate) unkept: BTreeSet<InstanceUid>,
}

impl KeeperWatch {
    /// Connects, starting a keeper when none answers.
    pub(crate) async fn connect(&self) -> Result<(), KeeperError> {
        let path = self.host.layout.keeper_socket();
        let mut deadline = tokio::time::Instant::now() + PATIENCE;
        let mut failures = 0;
        let mut ended: Option<oneshot::Receiver<bool>> = None;
        loop {
            match self.host.link.connect(&path).await {
                Ok(pid) => {
                    self.pid.store(pid, Ordering::Relaxed);
                    return Ok(());
                }
                Err(_) if failures > STARTS && tokio::time::Instant::now() > deadline => {
                    return Err(KeeperError::Ended(self.host.layout.daemon_log("keeper")));
                }
                Err(error) if tokio::time::Instant::now() > deadline => {
                    return Err(KeeperError::Silent(error));
                }
                Err(_) => {}
            }
            match &mut ended {
                // Of two keepers one finds the lock taken and ends: starting one too many does no harm.
                None => ended = Some(self.spawner.keeper().map_err(KeeperError::Spawn)?),
                Some(end) => match end.try_recv() {
                    // One that lost against another keeper fails too: the winner answers in a moment.
                    // One that was killed before it was ready is replaced.
                    Ok(false) => {
                        failures += 1;
                        if failures > STARTS {
                            deadline = deadline.min(tokio::time::Instant::now() + MOMENT);
                        } else {
                            ended = None;
                        }
                        tokio::time::sleep(RETRY * failures * failures).await;
                    }
                    _ => tokio::time::sleep(RETRY).await,
                },
            }
        }
    }

    /// Connects and adopts, as often as it takes when keepers are killed meanwhile.
    pub(crate) async fn begin(&self) -> Result<Kept, KeeperError> {
        let mut failures = 0;
        loop {
            self.connect().await?;
            match self.adopt().await {
                Err(error) if failures > STARTS => return Err(error),
                Err(error) => tracing::warn!("{}", crate::chain::chain(&error)),
                adopted => return adopted,
            }
            failures += 1;
        }
    }

    /// Asks what the keeper keeps, gives it back what only the agent holds, holds what only the keeper has; has it look
    /// after what runs without a record.
    pub(crate) async fn adopt(&self) -> Result<Kept, KeeperError> {
        let fail = |error: LinkError| KeeperError::List(crate::chain::chain(&error));
        for status in self.settled().await.map_err(fail)? {
            self.exchange(&status).await;
        }
        // The groups come first: what is launched afterwards is in the list, and not taken for lost.
        let mut unkept = self.populated().await;
        let statuses = self.list().await.map_err(fail)?;
        for status in &statuses {
            if let Ok(uid) = status.key.as_str().parse::<InstanceUid>() {
                unkept.remove(&uid);
            }
        }
        let mut lost = BTreeSet::new();
        for uid in unkept {
            let taken = match self.last_run(uid) {
                Some(run) => take_up(&self.host, uid, run).await,
                None => false,
            };
            if !taken {
                lost.insert(uid);
            }
        }
        let statuses = self.list().await.map_err(fail)?;
        for status in &statuses {
            self.exchange(status).await;
        }
        let launching: BTreeSet<_> = statuses
            .iter()
            .filter(|status| status.phase == Phase::Launching)
            .filter_map(|status| status.key.as_str().parse().ok())
            .collect();
        if !launching.is_empty() {
            self.look_again();
        }
        let processes = statuses.iter().filter_map(|status| self.process(status)).collect();
        Ok(Kept { processes, launching, unkept: lost })
    }

    /// What the keeper keeps, once it is done with the launches that an agent before this one asked for: nobody else
    /// would hear what became of them. Those that take long are asked for again later.
    async fn settled(&self) -> Result<Vec<Status>, LinkError> {
        let deadline = tokio::time::Instant::now() + MOMENT;
        loop {
            let list = self.list().await?;
            let busy = list.iter().any(|status| status.phase == Phase::Launching);
            if !busy || tokio::time::Instant::now() > deadline {
                return Ok(list);
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn look_again(&self) {
        let link = self.host.link.clone();
        tokio::spawn(async move {
            tokio::time::sleep(MOMENT).await;
            link.doubt();
        });
    }

    async fn populated(&self) -> BTreeSet<InstanceUid> {
        let (hierarchy, path) = (self.host.hierarchy.clone(), self.host.groups.clone());
        let found = tokio::task::spawn_blocking(move || groups::populated(&hierarchy, &path)).await;
        found.unwrap_or_default()
    }

    /// The run that the instance was last known to be in.
    fn last_run(&self, uid: InstanceUid) -> Option<Run> {
        let Some(report) = self.host.known().report else { return self.journalled.get(&uid).copied() };
        let instance = report.instances.get(&uid)?;
        Some(Run { attempt: instance.starts, pid: instance.pid? })
    }

    async fn list(&self) -> Result<Vec<Status>, LinkError> {
        match self.host.link.call(Request::List, Vec::new()).await? {
            (Reply::Instances(list), _) => Ok(list),
            _ => Ok(Vec::new()),
        }
    }

    async fn exchange(&self, status: &Status) {
        let Ok(uid) = status.key.as_str().parse::<InstanceUid>() else { return };
        if matches!(status.phase, Phase::Exited(_)) {
            return;
        }
        let (pidfd, terminal) = self.host.held.copies(uid, status.attempt);
        if pidfd.is_some() || status.phase == Phase::Lost {
            let back =
                HandBack { key: status.key.clone(), pidfd: pidfd.is_some(), terminal: terminal.is_some() };
            let fds = pidfd.into_iter().chain(terminal).collect();
            let _ = self.host.link.tell(Request::HandBack(back), fds).await;
        } else if let Ok((Reply::Descriptors { .. }, fds)) =
            self.host.link.call(Request::Descriptors { key: status.key.clone() }, Vec::new()).await
        {
            self.host.held.hold(uid, status.attempt, fds);
        }
    }

    fn process(&self, status: &Status) -> Option<(InstanceUid, Process)> {
        let uid = status.key.as_str().parse().ok()?;
        let ended = match &status.phase {
            Phase::Launching => return None,
            Phase::Running => None,
            Phase::Lost => Some((Exit::Unknown, false)),
            Phase::Exited(record) => Some((exit(record.exit), record.oom_killed)),
        };
        let identity = status.identity.as_ref();
        let process = Process {
            attempt: status.attempt,
            since: identity.map_or_else(|| self.clock.now().moment, |identity| self.started(identity)),
            pid: identity.map_or(0, |identity| identity.pid),
            ended,
        };
        Some((uid, process))
    }

    /// A process's start as the kernel counts it: ticks of 10 ms since boot (proc_pid_stat(5), field 22).
    fn started(&self, identity: &ProcessIdentity) -> Moment {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let since_boot = Duration::from_millis(identity.start_time.saturating_mul(1000) / ticks);
        Moment { boot: self.clock.boot().clone(), since_boot }
    }

    /// Runs for as long as the agent does.
    pub(crate) async fn run<F: Future<Output = Adopted>>(mut self, adopted: impl Fn(Kept) -> F) {
        while let Some(item) = self.events.recv().await {
            match item {
                FromKeeper::Event(event, fds) => self.event(event, fds),
                FromKeeper::Lost => {
                    self.pid.store(0, Ordering::Relaxed);
                    self.host.execs.lost();
                    self.tell(Input::KeeperLost);
                    self.come_back(&adopted).await;
                }
                // One that is lost meanwhile says so itself.
                FromKeeper::Doubt => match self.adopt().await {
                    Ok(kept) => self.tell(Input::Adopted(adopted(kept).await)),
                    Err(error) => tracing::warn!("{}", crate::chain::chain(&error)),
                },
            }
        }
    }

    async fn come_back<F: Future<Output = Adopted>>(&self, adopted: &impl Fn(Kept) -> F) {
        let mut pause = Duration::from_millis(10);
        loop {
            let kept = match self.connect().await {
                Ok(()) => self.adopt().await,
                Err(error) => Err(error),
            };
            match kept {
                Ok(kept) => {
                    self.host.fabric.keep_descriptors(&self.host.link).await;
                    return self.tell(Input::Adopted(adopted(kept).await));
                }
                Err(error) => tracing::error!("{}", crate::chain::chain(&error)),
            }
            // One that was met may have been killed before it was done with.
            self.pid.store(0, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    fn event(&self, event: Event, fds: Vec<OwnedFd>) {
        match event {
            Event::Spawned { key, attempt, .. } => {
                if let Ok(uid) = key.as_str().parse() {
                    self.host.held.hold(uid, attempt, fds);
                }
            }
            Event::Exited(record) => self.exited(&record),
            Event::ExecSpawned { key, exec } => {
                if let Ok(uid) = key.as_str().parse() {
                    self.host.execs.spawned(uid, &exec, fds.into_iter().next());
                }
            }
            Event::ExecExited(ended) => {
                if let Ok(uid) = ended.key.as_str().parse() {
                    self.host.execs.ended(uid, &ended.exec, exit(ended.exit));
                }
            }
            Event::Log { key, stream, state } => tracing::warn!(%key, ?stream, ?state, "log"),
            Event::Note { text } => tracing::info!("keeper: {text}"),
        }
    }

    fn exited(&self, record: &ExitRecord) {
        let Ok(uid) = record.key.as_str().parse() else { return };
        self.host.held.run_ended(uid, record.attempt);
        let (attempt, oom_killed) = (record.attempt, record.oom_killed);
        self.tell(Input::Exited { uid, attempt, exit: exit(record.exit), oom_killed });
    }

    fn tell(&self, input: Input) {
        let _ = self.inbox.send(Message::Input(input));
    }
}
