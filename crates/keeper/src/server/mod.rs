//! The keeper's loop: one thread, one epoll, nothing that waits.
//!
//! Order of the facts it must not lose:
//! - A launch: that it begins is written down before there is a process; which process it is, and the agent
//!   sent its descriptors, while the child is still setting itself up. A child whose keeper is gone by the
//!   time it would execute its program ends instead. So a keeper that was killed leaves a launch either known
//!   or begun, and what has only begun its successor ends by control group ([`unfinished`]).
//! - An exit: outputs are drained, `exit.json` is renamed into place, the agent is told, and then the file
//!   is synced on the journal's thread. Without the sync it survives a kill of keeper and agent, which is
//!   what it is for: the agent needn't wait for a disk to restart a container. Only a crash of the machine
//!   can lose it, and then the next boot finds an instance that ended with the machine.

mod adopt;
mod agent;
mod children;
mod exec;
mod exits;
mod handover;
mod holder;
mod instance;
mod launch;
mod listener;
mod peers;
mod poll;
mod requests;
mod unfinished;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use hoist_runtime::launch::Launcher;
use nix::sys::signalfd::SignalFd;

use crate::clean::Inherited;
use crate::config::Config;
use crate::diary::Diary;
use crate::error::KeeperError;
use crate::journal::Journal;
use crate::protocol::{Event, Key};
use crate::segments::Stream;
use crate::state::State;
use crate::stdio::pump::{LogState, Plumbing};

use agent::Agent;
use exec::ExecProcess;
use holder::Holder;
use instance::Instance;
use peers::Peers;
use poll::{Poller, Token};

pub(crate) use handover::Handover;

/// Everything the loop has.
#[derive(Debug)]
pub(crate) struct Keeper {
    config: Config,
    /// What the keeper changed about itself and containers get as it was.
    inherited: Inherited,
    /// Itself, as what launches needs to know it. Asked once: the keeper changes nothing of it any more.
    launcher: Launcher,
    state: State,
    // Held for as long as this process lives, also across an upgrade.
    lock: OwnedFd,
    listener: OwnedFd,
    signals: SignalFd,
    poller: Poller,
    peers: Peers,
    plumbing: Plumbing,
    journal: Journal,
    diary: Diary,
    instances: BTreeMap<u32, Instance>,
    by_key: BTreeMap<Key, u32>,
    execs: BTreeMap<u32, ExecProcess>,
    /// Whose end each process id of a child means.
    children: BTreeMap<i32, Token>,
    last_id: u32,
    held: BTreeMap<String, Vec<OwnedFd>>,
    agent: Agent,
    holder: Holder,
    ending: bool,
}

/// What a keeper is made of, once it has cleaned itself up.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) inherited: Inherited,
    pub(crate) lock: OwnedFd,
    pub(crate) signals: SignalFd,
    pub(crate) diary: Diary,
    pub(crate) handover: Handover,
}

impl Keeper {
    /// Adopts what it finds, then opens the door.
    pub(crate) fn start(parts: Parts) -> Result<Keeper, KeeperError> {
        let Parts { config, inherited, lock, signals, diary, mut handover } = parts;
        let start = |doing: &'static str| move |source| KeeperError::Start { doing, source };
        let state = State::open(&config.state_dir).map_err(start("open the state folder"))?;
        let plumbing = Plumbing::new(config.policy()).map_err(start("make pipes"))?;
        let poller = Poller::new().map_err(start("make an epoll"))?;
        let journal = Journal::start().map_err(start("start the journal's thread"))?;
        let listener = match handover.take_listener() {
            Some(listener) => listener,
            None => listener::open(&config.socket)
                .map_err(|source| KeeperError::Socket { path: config.socket.clone(), source })?,
        };
        poller.watch(listener.as_fd(), Token::Listener).map_err(start("watch the socket"))?;
        poller.watch(signals.as_fd(), Token::Signals).map_err(start("watch for signals"))?;
        let mut keeper = Keeper {
            config,
            inherited,
            launcher: Launcher::of_this_process(),
            state,
            lock,
            listener,
            signals,
            poller,
            peers: Peers::default(),
            plumbing,
            journal,
            diary,
            instances: BTreeMap::new(),
            by_key: BTreeMap::new(),
            execs: BTreeMap::new(),
            children: BTreeMap::new(),
            last_id: 0,
            held: BTreeMap::new(),
            agent: Agent::default(),
            holder: Holder::default(),
            ending: false,
        };
        keeper.adopt(handover).map_err(start("read the state folder"))?;
        keeper.meet_holder();
        Ok(keeper)
    }

    /// Runs until it is told to end.
    pub(crate) fn run(mut self) -> Result<(), KeeperError> {
        // Children may have ended before the signal was watched for.
        self.reap();
        while !self.ending {
            let tokens = self.poller.wait().map_err(KeeperError::Loop)?;
            for token in tokens {
                self.turn(token);
            }
        }
        self.end_holder();
        let _ = std::fs::remove_file(&self.config.socket);
        Ok(())
    }

    fn turn(&mut self, token: Token) {
        match token {
            Token::Signals => self.on_signals(),
            Token::Listener => self.on_listener(),
            Token::Agent => self.on_agent(),
            Token::Peer(id) => self.on_peer(id),
            Token::Launch(id) => self.on_launch(id),
            Token::Process(id) => self.on_process(id),
            Token::Output(id, place) => self.on_output(id, usize::from(place)),
            Token::Terminal(id) => self.on_terminal(id),
            Token::Exec(id) => self.on_exec(id),
            Token::Holder => self.on_holder(),
        }
    }

    fn on_listener(&mut self) {
        if let Err(error) = self.peers.accept(self.listener.as_fd(), &self.poller) {
            self.note(format!("can't accept a connection: {error}"));
        }
    }

    fn on_output(&mut self, id: u32, place: usize) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let news = instance.drain(id, place, &mut self.poller, &mut self.plumbing);
        self.tell_log(id, news);
    }

    fn on_terminal(&mut self, id: u32) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let news = instance.relay(id, &mut self.poller, &mut self.plumbing);
        self.tell_log(id, news);
    }

    fn tell_log(&mut self, id: u32, news: Option<(Stream, LogState)>) {
        let (Some((stream, state)), Some(instance)) = (news, self.instances.get(&id)) else { return };
        let event = Event::Log { key: instance.record.key.clone(), stream, state };
        self.peers.tell(&event, &[], &self.poller);
    }

    /// Tells whoever keeps logs.
    fn note(&mut self, text: String) {
        self.diary.write(&text);
        self.peers.tell(&Event::Note { text }, &[], &self.poller);
    }

    fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    fn find(&self, key: &Key) -> Option<(u32, &Instance)> {
        let id = *self.by_key.get(key)?;
        Some((id, self.instances.get(&id)?))
    }

    fn find_mut(&mut self, key: &Key) -> Option<(u32, &mut Instance)> {
        let id = *self.by_key.get(key)?;
        Some((id, self.instances.get_mut(&id)?))
    }

    /// Adds an instance that has its ends, and drains it from now on.
    fn insert(&mut self, id: u32, instance: Instance) -> io::Result<()> {
        instance.watch(id, &self.poller)?;
        self.children.insert(instance.record.identity.pid, Token::Process(id));
        self.by_key.insert(instance.record.key.clone(), id);
        self.instances.insert(id, instance);
        self.hold(id);
        Ok(())
    }

    fn remove(&mut self, id: u32) {
        if let Some(instance) = self.instances.remove(&id) {
            self.by_key.remove(&instance.record.key);
            self.children.remove(&instance.record.identity.pid);
            self.let_go(instance.record.key.clone());
            if let Some(terminal) = &instance.terminal {
                self.poller.unwatch(terminal.master());
            }
        }
    }
}
