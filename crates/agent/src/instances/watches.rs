//! Looks at the sockets of runs: one task for each that is to be watched. What is to be looked for, how often, and what
//! follows from it is `planner`'s; this only looks, and says what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{InstanceUid, Listener, Moment};
use hoist_netfabric::{Protocol, Sockets};
use hoist_planner::host::{Input, Look, Watching, watch_pause};
use hoist_runtime::sandbox;
use rustix::process::Pid;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::chain::chain;
use crate::control::clock::Clock;
use crate::control::inbox::{Inbox, Message};

/// The pause between two looks at whether somebody is still connected.
const CONNECTED: Duration = Duration::from_millis(100);
/// So many namespaces are entered at once.
const AT_ONCE: usize = 2;
/// The pause before another try after something failed that should not.
const AGAIN: Duration = Duration::from_secs(1);

/// The tasks, by run.
pub(crate) struct Watches {
    clock: Clock,
    inbox: Inbox,
    /// To enter a namespace takes a thread: a few at a time.
    turns: Arc<Semaphore>,
    tasks: BTreeMap<InstanceUid, (Watching, JoinHandle<()>)>,
}

impl Watches {
    pub(crate) fn new(clock: Clock, inbox: Inbox) -> Self {
        Self { clock, inbox, turns: Arc::new(Semaphore::new(AT_ONCE)), tasks: BTreeMap::new() }
    }

    /// Watches exactly these: begins what is new, ends what is missing.
    pub(crate) fn set(&mut self, wanted: BTreeMap<InstanceUid, Watching>) {
        self.tasks.retain(|uid, (watching, task)| {
            let keep = wanted.get(uid) == Some(watching);
            if !keep {
                task.abort();
            }
            keep
        });
        for (uid, watching) in wanted {
            self.tasks.entry(uid).or_insert_with(|| {
                let watch = Watch {
                    clock: self.clock.clone(),
                    inbox: self.inbox.clone(),
                    turns: Arc::clone(&self.turns),
                    uid,
                    watching: watching.clone(),
                };
                (watching, tokio::spawn(watch.run()))
            });
        }
    }
}

struct Watch {
    clock: Clock,
    inbox: Inbox,
    turns: Arc<Semaphore>,
    uid: InstanceUid,
    watching: Watching,
}

impl Watch {
    async fn run(self) {
        match self.watching.look.clone() {
            Look::Listeners { at_leisure } => self.listeners(at_leisure).await,
            Look::Connections { ports, .. } if ports.is_empty() => self.say_idle(),
            Look::Connections { ports, from } => self.connections(ports, from).await,
        }
    }

    /// Without them nobody would ever know: it is tried until the run is over.
    async fn sockets(&self) -> Sockets {
        let pid = self.watching.pid;
        loop {
            // Never closed.
            let turn = self.turns.acquire().await;
            match tokio::task::spawn_blocking(move || open(pid)).await {
                Ok(Ok(sockets)) => return sockets,
                Ok(Err(why)) => tracing::debug!("sockets of {} can't be looked at: {why}", self.uid.short()),
                Err(error) => tracing::debug!("sockets of {} can't be looked at: {error}", self.uid.short()),
            }
            drop(turn);
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn listeners(&self, at_leisure: bool) {
        let mut told = BTreeSet::new();
        // Nobody keeps a socket for a look in half a minute.
        let mut kept = None;
        loop {
            if at_leisure {
                self.pause(at_leisure).await;
            }
            let mut sockets = match kept.take() {
                Some(sockets) => sockets,
                None => self.sockets().await,
            };
            let seen = match sockets.listeners() {
                Ok(seen) => seen,
                Err(error) => return tracing::debug!("{}: {}", self.uid.short(), chain(&error)),
            };
            if told != seen {
                let ports = seen.iter().map(|(port, protocol)| listener(*port, *protocol)).collect();
                let input = Input::Listens { uid: self.uid, attempt: self.watching.attempt, ports };
                if self.inbox.send(Message::Input(input)).is_err() {
                    return;
                }
                told = seen;
            }
            if !at_leisure {
                kept = Some(sockets);
                self.pause(at_leisure).await;
            }
        }
    }

    async fn pause(&self, at_leisure: bool) {
        let age = self.clock.now().moment.since(&self.watching.since).unwrap_or_default();
        tokio::time::sleep(watch_pause(age, at_leisure)).await;
    }

    async fn connections(&self, ports: BTreeSet<Listener>, from: Moment) {
        let ports: BTreeSet<u16> = ports.iter().map(|listener| listener.port).collect();
        let mut sockets = self.sockets().await;
        loop {
            if let Some(early) = from.since(&self.clock.now().moment) {
                tokio::time::sleep(early).await;
            }
            match sockets.connections(&ports) {
                Ok(0) => return self.say_idle(),
                Ok(_) => tokio::time::sleep(CONNECTED).await,
                Err(error) => return tracing::debug!("{}: {}", self.uid.short(), chain(&error)),
            }
        }
    }

    fn say_idle(&self) {
        let input = Input::Idle { uid: self.uid, attempt: self.watching.attempt };
        let _ = self.inbox.send(Message::Input(input));
    }
}

pub(crate) fn open(pid: i32) -> Result<Sockets, String> {
    let pid = Pid::from_raw(pid).ok_or_else(|| "it has no process".to_owned())?;
    let netns = sandbox::network_namespace_of(pid).map_err(|error| chain(&error))?;
    Sockets::of(netns.as_fd()).map_err(|error| chain(&error))
}

fn listener(port: u16, protocol: Protocol) -> Listener {
    let protocol = match protocol {
        Protocol::Tcp => hoist_model::Protocol::Tcp,
        Protocol::Udp => hoist_model::Protocol::Udp,
    };
    Listener { port, protocol }
}
