//! Processes run inside containers.
//!
//! Their ends are the agent's. When the keeper is killed they run on, and the agent learns of their end
//! from the pidfd it has: sent before the program runs, so that none runs unknown.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hoist_runtime::exec::{self, ExecInput};
use hoist_runtime::identity::{Exit, ExitInfo};
use hoist_runtime::launch::{Launching, Progress};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::Keeper;
use super::exits::{from_status, has_ended};
use super::instance::Stage;
use super::launch::{io_failure, launch_failure, prepare_failure, shortfall, spawn_failure};
use super::peers::Caller;
use super::poll::Token;
use super::requests::{Answer, Refused, refuse};
use crate::protocol::{Event, Exec, ExecExit, Failure, Key, Refusal, Reply};
use crate::stdio::terminal::Terminal;

/// A process run inside an instance.
#[derive(Debug)]
pub(crate) struct ExecProcess {
    pub(super) key: Key,
    pub(super) name: String,
    pub(super) pid: i32,
    pub(super) stage: ExecStage,
}

#[derive(Debug)]
pub(crate) enum ExecStage {
    Launching { launching: Box<Launching>, caller: Caller, master: Option<OwnedFd> },
    Running { pidfd: OwnedFd },
}

impl Keeper {
    pub(super) fn exec(
        &mut self,
        request: Exec,
        fds: Vec<OwnedFd>,
        caller: Caller,
    ) -> Result<Answer, Refused> {
        let key = &request.key;
        let Some((_, instance)) = self.find(key) else {
            return Err(refuse(Refusal::Unknown, format!("no instance {key}")));
        };
        let Stage::Running { pidfd, .. } = &instance.stage else {
            return Err(refuse(Refusal::State, format!("{key} does not run")));
        };
        let root = root(instance.record.identity.pid, pidfd.as_fd());
        if self.execs.values().any(|exec| exec.key == *key && exec.name == request.exec) {
            return Err(refuse(Refusal::State, format!("{} runs in {key} already", request.exec)));
        }
        let container = pidfd
            .try_clone()
            .map_err(|error| refuse(Refusal::System, format!("can't duplicate a pidfd: {error}")))?;
        Ok(match self.spawn_exec(request, Container { pidfd: container, root }, fds, caller) {
            Ok(()) => Answer::Later,
            Err(failure) => Answer::Now(Reply::LaunchFailed(failure), Vec::new()),
        })
    }

    fn spawn_exec(
        &mut self,
        request: Exec,
        container: Container,
        fds: Vec<OwnedFd>,
        caller: Caller,
    ) -> Result<(), Failure> {
        let Exec { key, exec: name, mut process, seccomp, cgroup_dirs, terminal, uid, init, best_effort } =
            request;
        self.inherited.fill_in(&mut process);
        let make = |size| match &container.root {
            Some(root) => Terminal::within(root.as_fd(), size),
            None => Terminal::make(size),
        };
        let terminal = terminal.map(make).transpose();
        let terminal = terminal.map_err(|error| io_failure("can't make a terminal", &error))?;
        let ends = ends(terminal.as_ref(), uid, fds)
            .map_err(|error| io_failure("can't open the terminal", &error))?;
        let input = ExecInput {
            container: container.pidfd,
            process,
            cgroups: cgroup_dirs,
            stdio: ends.0,
            terminal: ends.1,
            seccomp,
            init,
            shortfall: shortfall(best_effort),
        };
        let mut launching = exec::prepare(input, &self.launcher)
            .map_err(|error| prepare_failure(&error))?
            .spawn()
            .map_err(|error| spawn_failure(&error))?;
        let pid = launching.pid().as_raw_nonzero().get();
        let master = terminal.map(Terminal::into_master);
        let id = self.next_id();
        self.children.insert(pid, Token::Exec(id));
        self.peers.tell(
            &Event::ExecSpawned { key: key.clone(), exec: name.clone() },
            &[launching.pidfd()],
            &self.poller,
        );
        launching.release();
        let stage = ExecStage::Launching { launching: Box::new(launching), caller, master };
        self.execs.insert(id, ExecProcess { key, name, pid, stage });
        self.on_exec(id);
        Ok(())
    }

    /// A process run inside an instance was launched or has ended.
    pub(super) fn on_exec(&mut self, id: u32) {
        let Some(exec) = self.execs.get_mut(&id) else { return };
        match &mut exec.stage {
            ExecStage::Launching { .. } => self.on_exec_launch(id),
            ExecStage::Running { pidfd } => {
                let ended =
                    waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
                let info = match ended {
                    Ok(None) => return,
                    Ok(Some(status)) => from_status(&status),
                    Err(_) => ExitInfo { exit: Exit::Unknown, core_dumped: false },
                };
                self.poller.unwatch(pidfd.as_fd());
                self.end_exec(id, info);
            }
        }
    }

    fn on_exec_launch(&mut self, id: u32) {
        let Some(exec) = self.execs.get_mut(&id) else { return };
        let ExecStage::Launching { launching, caller, master } = &mut exec.stage else { return };
        self.poller.unwatch(launching.fd());
        let caller = *caller;
        match launching.poll() {
            Progress::Pending => {
                let _ = self.poller.watch(launching.fd(), Token::Exec(id));
            }
            Progress::Running(running) => {
                // Without room for a duplicate the agent gets neither, and sees so by their number.
                let fds = match running.pidfd.try_clone() {
                    Ok(pidfd) => [pidfd].into_iter().chain(master.take()).collect(),
                    Err(_) => Vec::new(),
                };
                let pid = exec.pid;
                let _ = self.poller.watch(running.pidfd.as_fd(), Token::Exec(id));
                exec.stage = ExecStage::Running { pidfd: running.pidfd };
                self.peers.reply(caller, Reply::ExecStarted { pid }, fds, &self.poller);
            }
            Progress::Failed(error) => {
                self.forget_exec(id);
                let failure = Reply::LaunchFailed(launch_failure(&error));
                self.peers.reply(caller, failure, Vec::new(), &self.poller);
            }
        }
    }

    fn end_exec(&mut self, id: u32, info: ExitInfo) {
        if let Some(exec) = self.forget_exec(id) {
            let exit = ExecExit { key: exec.key, exec: exec.name, exit: info.exit };
            self.peers.tell(&Event::ExecExited(exit), &[], &self.poller);
        }
    }

    fn forget_exec(&mut self, id: u32) -> Option<ExecProcess> {
        let exec = self.execs.remove(&id)?;
        self.children.remove(&exec.pid);
        Some(exec)
    }
}

/// What an exec goes into: the container's first process, and the root that it sees.
struct Container {
    pidfd: OwnedFd,
    root: Option<OwnedFd>,
}

/// The root of a process, which is still the one of `pidfd` once it is open.
fn root(pid: i32, pidfd: BorrowedFd<'_>) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(format!("/proc/{pid}/root"), flags, Mode::empty()).ok()?;
    (!has_ended(pidfd)).then_some(root)
}

type Ends = ([OwnedFd; 3], Option<OwnedFd>);

/// The process's standard streams: the terminal's slave, or what came with the request.
fn ends(terminal: Option<&Terminal>, uid: u32, fds: Vec<OwnedFd>) -> std::io::Result<Ends> {
    let Some(terminal) = terminal else {
        let stdio = fds.try_into().map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        return Ok((stdio, None));
    };
    let slave = terminal.slave_for(uid)?;
    Ok(([slave.try_clone()?, slave.try_clone()?, slave.try_clone()?], Some(slave)))
}
