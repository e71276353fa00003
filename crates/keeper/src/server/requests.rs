//! What peers ask, and who does it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use serde::Deserialize;

use super::Keeper;
use super::exec::ExecStage;
use super::instance::Stage;
use super::peers::{Caller, duplicates};
use crate::protocol::frame::Frame;
use crate::protocol::{Hello, Key, Numbered, Refusal, Reply, Request, Versions, Welcome};

/// How many requests of one peer are taken in a turn.
const TURN_REQUESTS: usize = 32;

/// What a request came to.
#[derive(Debug)]
pub(super) enum Answer {
    Now(Reply, Vec<OwnedFd>),
    /// It is under way, and is answered when it is done.
    Later,
}

/// Why nothing was done.
#[derive(Debug)]
pub(super) struct Refused {
    why: Refusal,
    message: String,
}

pub(super) fn refuse(why: Refusal, message: impl Into<String>) -> Refused {
    Refused { why, message: message.into() }
}

type Outcome = Result<Answer, Refused>;

const DONE: Outcome = Ok(Answer::Now(Reply::Done, Vec::new()));

fn now(reply: Reply) -> Outcome {
    Ok(Answer::Now(reply, Vec::new()))
}

impl Keeper {
    pub(super) fn on_peer(&mut self, id: u32) {
        self.peers.flush(id, &self.poller);
        for _ in 0..TURN_REQUESTS {
            let Some(frame) = self.peers.receive(id) else { return };
            self.answer(id, frame);
        }
    }

    fn answer(&mut self, peer: u32, Frame { bytes, fds }: Frame) {
        let (request, outcome) = match serde_json::from_slice::<Numbered>(&bytes) {
            Ok(Numbered { id, request }) => {
                let caller = Caller { peer, request: id };
                (id, self.check(peer, &request, fds.len()).and_then(|()| self.perform(request, fds, caller)))
            }
            Err(error) => {
                let malformed = format!("not a request this keeper understands: {error}");
                (number(&bytes), Err(refuse(Refusal::Malformed, malformed)))
            }
        };
        let (reply, fds) = match outcome {
            Ok(Answer::Later) => return,
            Ok(Answer::Now(reply, fds)) => (reply, fds),
            Err(Refused { why, message }) => (Reply::Refused { why, message }, Vec::new()),
        };
        self.peers.reply(Caller { peer, request }, reply, fds, &self.poller);
    }

    fn check(&self, peer: u32, request: &Request, fds: usize) -> Result<(), Refused> {
        if !self.peers.is_greeted(peer) && !matches!(request, Request::Hello(_)) {
            return Err(refuse(Refusal::Malformed, "the first request must be hello"));
        }
        let fits = match request {
            Request::Hello(_) => fds <= 1,
            Request::Launch(launch) => fds == 1 + usize::from(launch.netns),
            Request::Exec(exec) => fds == if exec.terminal.is_some() { 0 } else { 3 },
            Request::HandBack(back) => fds == usize::from(back.pidfd) + usize::from(back.terminal),
            Request::TakeUp(_) => fds == 1,
            Request::Hold { .. } => fds > 0,
            _ => fds == 0,
        };
        if fits {
            return Ok(());
        }
        Err(refuse(Refusal::Malformed, format!("{fds} descriptors came along, which is not what it says")))
    }

    fn perform(&mut self, request: Request, fds: Vec<OwnedFd>, caller: Caller) -> Outcome {
        match request {
            Request::Hello(hello) => self.hello(&hello, fds, caller.peer),
            Request::Launch(launch) => self.launch(*launch, fds, caller),
            Request::Exec(exec) => self.exec(*exec, fds, caller),
            Request::Signal { key, exec, signal } => self.signal(&key, exec.as_deref(), signal),
            Request::Resize { key, size } => self.resize(&key, size),
            Request::CloseStdin { key } => self.close_stdin(&key),
            Request::List => {
                now(Reply::Instances(self.instances.values().map(super::Instance::status).collect()))
            }
            Request::Descriptors { key } => self.descriptors(&key),
            Request::Forget { key } => self.forget(&key),
            Request::HandBack(back) => self.take_back(&back, fds),
            Request::TakeUp(lost) => self.take_up(*lost, fds),
            Request::Hold { name, .. } => {
                self.held.insert(name, fds);
                DONE
            }
            Request::Take { name } => self.take(&name),
            Request::Drop { name } => {
                self.held.remove(&name);
                DONE
            }
            Request::ListHeld => now(Reply::Held { names: self.held.keys().cloned().collect() }),
            Request::Upgrade { program, args } => self.upgrade(&program, &args),
            Request::Goodbye => {
                if self.peers.is_agent(caller.peer) {
                    self.agent.goodbye();
                }
                DONE
            }
            Request::Shutdown { force } => self.shutdown(force),
        }
    }

    fn hello(&mut self, hello: &Hello, fds: Vec<OwnedFd>, peer: u32) -> Outcome {
        let Some(version) = Versions::OURS.common(hello.versions) else {
            let message = format!(
                "this keeper speaks versions {} to {}, the other side {} to {}",
                Versions::OURS.oldest,
                Versions::OURS.newest,
                hello.versions.oldest,
                hello.versions.newest
            );
            return Err(refuse(Refusal::Version, message));
        };
        if hello.agent {
            self.hear_out(peer);
            let given = fds.into_iter().next();
            let pid = self.peers.pid(peer);
            let pidfd = given.or_else(|| pidfd_open(pid?, PidfdFlags::empty()).ok());
            self.watch_agent(pidfd);
        }
        self.peers.greet(peer, hello.agent);
        now(Reply::Welcome(Welcome { version, pid: getpid().as_raw_nonzero().get() }))
    }

    /// An agent that says hello asks next what there is. Whatever those before it asked for comes first: a launch that is
    /// still unread would come about after the answer, and unknown to whoever reads it.
    fn hear_out(&mut self, newcomer: u32) {
        for former in self.peers.agents().into_iter().filter(|peer| *peer != newcomer) {
            while let Some(frame) = self.peers.receive(former) {
                self.answer(former, frame);
            }
        }
    }

    fn signal(&mut self, key: &Key, exec: Option<&str>, signal: i32) -> Outcome {
        let pidfd = match exec {
            None => self.known(key)?.pidfd(),
            Some(name) => self.execs.values().find_map(|exec| match &exec.stage {
                ExecStage::Running { pidfd } if exec.key == *key && exec.name == name => Some(pidfd.as_fd()),
                _ => None,
            }),
        };
        let Some(pidfd) = pidfd else { return Err(refuse(Refusal::State, format!("{key} does not run"))) };
        let Some(signal) = valid_signal(signal) else {
            return Err(refuse(Refusal::Malformed, format!("no signal {signal}")));
        };
        match pidfd_send_signal(pidfd, signal) {
            Ok(()) => DONE,
            Err(error) => Err(refuse(Refusal::System, format!("can't signal {key}: {error}"))),
        }
    }

    fn resize(&mut self, key: &Key, size: crate::stdio::WindowSize) -> Outcome {
        let Some(terminal) = &self.known(key)?.terminal else {
            return Err(refuse(Refusal::State, format!("{key} has no terminal")));
        };
        match terminal.resize(size) {
            Ok(()) => DONE,
            Err(error) => Err(refuse(Refusal::System, format!("can't resize the terminal: {error}"))),
        }
    }

    fn close_stdin(&mut self, key: &Key) -> Outcome {
        let Some((_, instance)) = self.find_mut(key) else { return Err(unknown(key)) };
        instance.stdin = None;
        instance.record.stdin_open = false;
        let record = instance.record.clone();
        match self.state.write(&record) {
            Ok(()) => DONE,
            Err(error) => Err(refuse(Refusal::System, format!("can't write the instance's record: {error}"))),
        }
    }

    fn descriptors(&mut self, key: &Key) -> Outcome {
        let instance = self.known(key)?;
        let (pidfd, ends) = (instance.pidfd(), instance.shared_ends());
        let reply = Reply::Descriptors { pidfd: pidfd.is_some() };
        let fds: Vec<_> = pidfd.into_iter().chain(ends).collect();
        Ok(Answer::Now(reply, duplicates(&fds).map_err(|error| no_duplicates(&error))?))
    }

    fn forget(&mut self, key: &Key) -> Outcome {
        let Some((id, instance)) = self.find(key) else { return Err(unknown(key)) };
        if !matches!(instance.stage, Stage::Exited(_)) {
            return Err(refuse(Refusal::State, format!("{key} has not exited")));
        }
        self.remove(id);
        match self.state.forget(key) {
            Ok(()) => DONE,
            Err(error) => Err(refuse(Refusal::System, format!("can't remove the record: {error}"))),
        }
    }

    fn take(&mut self, name: &str) -> Outcome {
        let Some(held) = self.held.get(name) else {
            return Err(refuse(Refusal::Unknown, format!("nothing is held under {name}")));
        };
        let fds: Vec<_> = held.iter().map(AsFd::as_fd).collect();
        Ok(Answer::Now(Reply::Taken, duplicates(&fds).map_err(|error| no_duplicates(&error))?))
    }

    fn shutdown(&mut self, force: bool) -> Outcome {
        let live = self.instances.values().filter(|instance| instance.is_live()).count();
        if live > 0 && !force {
            return Err(refuse(Refusal::State, format!("{live} containers run")));
        }
        self.ending = true;
        DONE
    }

    fn known(&self, key: &Key) -> Result<&super::Instance, Refused> {
        self.find(key).map(|(_, instance)| instance).ok_or_else(|| unknown(key))
    }
}

pub(super) fn unknown(key: &Key) -> Refused {
    refuse(Refusal::Unknown, format!("no instance {key}"))
}

fn no_duplicates(error: &std::io::Error) -> Refused {
    refuse(Refusal::System, format!("can't duplicate descriptors: {error}"))
}

fn valid_signal(number: i32) -> Option<Signal> {
    if !(1..=libc::SIGRTMAX()).contains(&number) {
        return None;
    }
    // SAFETY: rustix asks that the number be one of the kernel's and not one libc keeps for itself. It only
    // goes to another process here, where the kernel checks it.
    Some(unsafe { Signal::from_raw_unchecked(number) })
}

/// The number of a request that is not understood otherwise.
fn number(bytes: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct Number {
        id: u64,
    }
    serde_json::from_slice::<Number>(bytes).map_or(0, |number| number.id)
}
