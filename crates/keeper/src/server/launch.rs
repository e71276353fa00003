//! Starting containers.

use std::os::fd::{AsFd, OwnedFd};

use hoist_runtime::identity::ProcessIdentity;
use hoist_runtime::launch::{self, LaunchError, LaunchInput, PrepareError, Progress, Shortfall, SpawnError};
use rustix::io::Errno;

use super::Keeper;
use super::instance::{Instance, Stage, open_writers};
use super::peers::Caller;
use super::poll::Token;
use super::requests::{Answer, Refused, refuse};
use crate::protocol::{Event, Failure, Key, Launch, Launched, Refusal, Reply};
use crate::state::{Begun, Record};
use crate::stdio::{self, StdioKind};

impl Keeper {
    pub(super) fn launch(
        &mut self,
        request: Launch,
        fds: Vec<OwnedFd>,
        caller: Caller,
    ) -> Result<Answer, Refused> {
        if let Some(answer) = self.make_way(&request.key, request.attempt, caller)? {
            return Ok(answer);
        }
        Ok(match self.spawn(request, fds, caller) {
            Ok(()) => Answer::Later,
            Err(failure) => Answer::Now(Reply::LaunchFailed(failure), Vec::new()),
        })
    }

    /// Sees to an instance of the same key: gives the answer of a request that is repeated, and drops an
    /// attempt that has ended.
    fn make_way(&mut self, key: &Key, attempt: u32, caller: Caller) -> Result<Option<Answer>, Refused> {
        let Some((id, instance)) = self.find_mut(key) else { return Ok(None) };
        let known = instance.record.attempt;
        match &mut instance.stage {
            Stage::Launching { caller: former, .. } if known == attempt => {
                *former = caller;
                Ok(Some(Answer::Later))
            }
            Stage::Running { .. } if known == attempt => {
                Ok(Some(Answer::Now(Reply::Launched(launched(&instance.record, Vec::new())), Vec::new())))
            }
            Stage::Exited(_) if known < attempt => {
                self.remove(id);
                Ok(None)
            }
            _ => Err(refuse(
                Refusal::State,
                format!("attempt {known} of {key} is known: {:?}", instance.status().phase),
            )),
        }
    }

    fn spawn(&mut self, request: Launch, fds: Vec<OwnedFd>, caller: Caller) -> Result<(), Failure> {
        let Launch { key, attempt, stdio, log, cgroup, cgroup_dirs, .. } = &request;
        let (key, attempt, stdio, log) = (key.clone(), *attempt, stdio.clone(), log.clone());
        let (cgroup, cgroup_dirs) = (cgroup.clone(), cgroup_dirs.clone());
        let devpts = match stdio.kind {
            StdioKind::Terminal(_) => {
                launch::devpts(&request.spec).map_err(|error| prepare_failure(&error))?
            }
            StdioKind::Pipes { .. } => None,
        };
        let (given, kept) = stdio::make(&stdio, devpts.as_ref().map(AsFd::as_fd)).map_err(|error| {
            io_failure(&format!("can't make the streams in {}", stdio.dir.display()), &error)
        })?;
        let writers = open_writers(stdio.streams(), log.as_ref())
            .map_err(|error| io_failure("can't open the log", &error))?;
        let mut launch = launch::prepare(self.input(request, given, devpts, fds), &self.launcher)
            .map_err(|error| prepare_failure(&error))?;
        let warnings = launch.warnings().to_vec();
        let begun = self.state.begin(&Begun { key: key.clone(), cgroup_dirs: cgroup_dirs.clone() });
        let begun = begun.map_err(|error| io_failure(CANT_RECORD, &error))?;
        launch.mark(begun.into()).map_err(|error| prepare_failure(&error))?;
        let started = launch.spawn().map_err(|error| spawn_failure(&error)).and_then(|launching| {
            let pid = launching.pid().as_raw_nonzero().get();
            let identity = ProcessIdentity::of(launching.pidfd(), pid, cgroup)
                .map_err(|error| io_failure("can't identify the process", &error))?;
            let stdin_open = kept.stdin.is_some();
            let (key, marks) = (key.clone(), true);
            let record = Record { key, attempt, identity, stdio, log, cgroup_dirs, stdin_open, marks };
            let stage = Stage::Launching { launching: Box::new(launching), caller, warnings };
            let mut instance = Instance::new(record, stage);
            instance.connect(kept, writers);
            instance.begin_run();
            self.commit(instance)
        });
        started.inspect_err(|_| self.abandon(&key))
    }

    /// From here on the instance is known, to a next keeper and to the agent.
    fn commit(&mut self, instance: Instance) -> Result<(), Failure> {
        self.state.write(&instance.record).map_err(|error| io_failure(CANT_RECORD, &error))?;
        let id = self.next_id();
        self.insert(id, instance)
            .map_err(|error| io_failure("can't watch the instance's streams", &error))?;
        self.tell_spawned(id);
        self.release(id);
        self.on_launch(id);
        Ok(())
    }

    /// Lets the process go on to its program.
    fn release(&mut self, id: u32) {
        if let Some(Instance { stage: Stage::Launching { launching, .. }, .. }) = self.instances.get_mut(&id)
        {
            launching.release();
        }
    }

    fn tell_spawned(&mut self, id: u32) {
        let Some(instance) = self.instances.get(&id) else { return };
        let Record { key, attempt, identity, .. } = instance.record.clone();
        let fds: Vec<_> = instance.pidfd().into_iter().chain(instance.shared_ends()).collect();
        self.peers.tell(&Event::Spawned { key, attempt, identity }, &fds, &self.poller);
    }

    /// A launch has come further.
    pub(super) fn on_launch(&mut self, id: u32) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let Stage::Launching { launching, caller, warnings } = &mut instance.stage else { return };
        // It may be another descriptor after the poll, and of this one other children may have copies.
        self.poller.unwatch(launching.fd());
        let caller = *caller;
        match launching.poll() {
            Progress::Pending => {
                if let Err(error) = self.poller.watch(launching.fd(), Token::Launch(id)) {
                    self.note(format!("can't watch a launch: {error}"));
                }
            }
            Progress::Running(running) => {
                let launched = launched(&instance.record, std::mem::take(warnings));
                let watched = self.poller.watch(running.pidfd.as_fd(), Token::Process(id));
                instance.stage = Stage::Running { pidfd: running.pidfd, ended_ns: None };
                self.peers.reply(caller, Reply::Launched(launched), Vec::new(), &self.poller);
                if let Err(error) = watched {
                    self.note(format!("can't watch a process: {error}"));
                }
            }
            Progress::Failed(error) => {
                let key = instance.record.key.clone();
                self.abandon(&key);
                let failure = Reply::LaunchFailed(launch_failure(&error));
                self.peers.reply(caller, failure, Vec::new(), &self.poller);
            }
        }
    }

    /// Drops an instance that never executed its program.
    fn abandon(&mut self, key: &Key) {
        if let Some(id) = self.by_key.get(key).copied() {
            self.remove(id);
        }
        if let Err(error) = self.state.forget(key) {
            self.note(format!("can't remove the record of {key}: {error}"));
        }
    }

    fn input(
        &self,
        request: Launch,
        given: stdio::Given,
        devpts: Option<OwnedFd>,
        fds: Vec<OwnedFd>,
    ) -> LaunchInput {
        let Launch { mut spec, cgroup_dirs, executable, init, best_effort, .. } = request;
        if let Some(process) = spec.process_mut() {
            self.inherited.fill_in(process);
        }
        let mut fds = fds.into_iter();
        LaunchInput {
            spec,
            rootfs: fds.next().expect("the number of descriptors was checked with the request"),
            netns: fds.next(),
            cgroups: cgroup_dirs,
            stdio: given.stdio,
            terminal: given.terminal,
            devpts,
            executable,
            init,
            shortfall: shortfall(best_effort),
        }
    }
}

const CANT_RECORD: &str = "can't write the instance's record";

pub(super) fn shortfall(best_effort: bool) -> Shortfall {
    if best_effort { Shortfall::Warn } else { Shortfall::Refuse }
}

fn launched(record: &Record, warnings: Vec<String>) -> Launched {
    Launched { key: record.key.clone(), attempt: record.attempt, identity: record.identity.clone(), warnings }
}

pub(super) fn io_failure(message: &str, error: &std::io::Error) -> Failure {
    Failure {
        message: format!("{message}: {error}"),
        errno: error.raw_os_error().unwrap_or(0),
        advice: None,
        lasting: false,
    }
}

/// An error with its sources, as one sentence.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

pub(super) fn prepare_failure(error: &PrepareError) -> Failure {
    Failure { message: sentence(error), errno: 0, advice: None, lasting: error.is_lasting() }
}

pub(super) fn spawn_failure(error: &SpawnError) -> Failure {
    Failure { message: sentence(error), errno: 0, advice: None, lasting: false }
}

pub(super) fn launch_failure(error: &LaunchError) -> Failure {
    let errno = error.source.map_or(0, Errno::raw_os_error);
    Failure { message: error.to_string(), errno, advice: error.advice.clone(), lasting: error.lasting }
}
