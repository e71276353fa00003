//! Whether a run is fit for traffic where no health check says so: it listens where it should, or has run for a while.
//! And what is to be watched to know that, or to know when an instance that drains has nothing left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hoist_model::{Health, InstanceSpec, InstanceUid, Listener, Moment};

use super::control::HostLoop;
use super::parting;
use super::plan::Draft;
use super::view::View;
use super::{Instance, Life};
use crate::Now;
use crate::rollout::{self, Need};

/// A run whose sockets are looked at, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watching {
    /// Which start it is; what is seen names it.
    pub attempt: u32,
    /// When the run began.
    pub since: Moment,
    /// Its first process.
    pub pid: i32,
    /// What for.
    pub look: Look,
}

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Where it listens: told whenever that changes.
    Listeners {
        /// Nobody waits for it.
        at_leisure: bool,
    },
    /// Whether somebody is still connected to one of these ports: told once nobody is, from that moment on.
    Connections {
        /// The ports.
        ports: BTreeSet<Listener>,
        /// An end before that doesn't count: somebody may still come by an old answer of the name server.
        from: Moment,
    },
}

/// The pause before the next look at where a run of this age listens. One that nobody waits for has its first look late: by
/// then most have said all there is.
#[must_use]
pub fn pause(age: Duration, at_leisure: bool) -> Duration {
    const FIRST: Duration = Duration::from_secs(2);
    match (at_leisure, FIRST.checked_sub(age)) {
        (false, _) => (age / 10).clamp(Duration::from_millis(1), Duration::from_millis(100)),
        (true, Some(rest)) => rest.max(Duration::from_millis(100)),
        (true, None) => age.min(Duration::from_secs(30)),
    }
}

/// What the run of an instance needs; none where its health check says it, or it needs nothing more.
fn need(view: &View<'_>, uid: InstanceUid, spec: &InstanceSpec, instance: &Instance) -> Option<Need> {
    let waits = matches!(instance.life, Life::Running { .. }) && instance.health == Health::None;
    let before = parting::predecessor(view, uid, spec);
    let before = before.map(|old| (&old.birth.handover, &old.listening));
    (waits && !instance.come_up).then(|| Need::of(&instance.birth.handover, before))
}

fn age(instance: &Instance, now: &Moment) -> Duration {
    match &instance.life {
        Life::Running { since, .. } => now.since(since).unwrap_or(Duration::MAX),
        _ => Duration::ZERO,
    }
}

/// What each running instance of the spec lacks to be fit for traffic; and looks again when time alone may bring it.
pub(super) fn note(draft: &mut Draft<'_>) {
    for (uid, spec) in &draft.view.spec.instances {
        let Some(instance) = draft.view.instance(*uid) else { continue };
        let lacks = match (&instance.life, instance.health) {
            (Life::Running { .. }, _) if instance.shaken => {
                Some("what it depends on to be healthy again".to_owned())
            }
            (Life::Running { .. }, _) if !instance.is_hooked() => {
                Some("its post_start hooks to pass".to_owned())
            }
            (Life::Running { .. }, Health::Starting) => Some("its health check to pass".to_owned()),
            (Life::Running { .. }, Health::Unhealthy) => Some("its health check to pass again".to_owned()),
            _ => {
                let need = need(&draft.view, *uid, spec, instance);
                if let (Some(Need::Time(time)), Life::Running { since, .. }) = (&need, &instance.life) {
                    draft.wake(since.after(*time));
                }
                need.and_then(|need| need.lacks(&instance.listening, age(instance, draft.view.now)))
            }
        };
        if let Some(lacks) = lacks {
            draft.plan.unready.insert(*uid, lacks);
        }
    }
}

/// What to watch: where runs listen that are not ready yet, and those nobody has seen listen; connections of those that
/// drain.
pub(super) fn watching(view: &View<'_>) -> BTreeMap<InstanceUid, Watching> {
    let mut watching = BTreeMap::new();
    for (uid, instance) in &view.observed.instances {
        let Life::Running { since, pid } = &instance.life else { continue };
        if let Some(look) = look(view, *uid, instance).filter(|_| !view.stopping(*uid)) {
            let (attempt, since, pid) = (instance.starts, since.clone(), *pid);
            watching.insert(*uid, Watching { attempt, since, pid, look });
        }
    }
    watching
}

fn look(view: &View<'_>, uid: InstanceUid, instance: &Instance) -> Option<Look> {
    let handover = &instance.birth.handover;
    if let Some(draining) = &instance.draining {
        let ports = instance.listening.iter().copied().chain(handover.targets()).collect();
        let from = parting::idle_from(draining);
        return (!draining.idle).then_some(Look::Connections { ports, from });
    }
    let replica = instance.birth.kind == hoist_model::InstanceKind::Replica;
    let own = handover.network == hoist_model::NetworkMode::Own;
    let spec = view.spec.instances.get(&uid).filter(|_| replica && own)?;
    // What needs time alone gets that without a look.
    let waits = need(view, uid, spec, instance).is_some_and(|need| !matches!(need, Need::Time(_)));
    let unseen = rollout::lasting(&instance.listening).next().is_none();
    (waits || unseen).then_some(Look::Listeners { at_leisure: !waits })
}

impl HostLoop {
    /// Notes which runs have become fit for traffic: once for each run, so that one whose port is closed for a moment
    /// keeps its traffic.
    pub(super) fn note_ready(&mut self, now: &Now) {
        let waits = |seen: &Instance| matches!(seen.life, Life::Running { .. }) && !seen.come_up;
        if !self.observed.instances.values().any(|seen| waits(seen) && seen.health == Health::None) {
            return;
        }
        let view = View::new(&self.input(now, &self.observed));
        let mut up = Vec::new();
        for (uid, spec) in &self.spec.instances {
            let Some(instance) = self.observed.instances.get(uid) else { continue };
            let Some(need) = need(&view, *uid, spec, instance) else { continue };
            if need.lacks(&instance.listening, age(instance, &now.moment)).is_none() {
                up.push(*uid);
            }
        }
        for uid in up {
            if let Some(instance) = self.observed.instances.get_mut(&uid) {
                instance.come_up = true;
                self.touched.insert(uid);
            }
        }
    }

    /// Where a run listens by now.
    pub(super) fn listens(&mut self, uid: InstanceUid, attempt: u32, ports: BTreeSet<Listener>) {
        let Some(instance) = self.observed.instances.get_mut(&uid) else { return };
        let current = instance.starts == attempt && matches!(instance.life, Life::Running { .. });
        if current && instance.listening != ports {
            instance.listening = ports;
            self.touched.insert(uid);
        }
    }

    /// Nobody is connected any more to a run that drains.
    pub(super) fn is_idle(&mut self, uid: InstanceUid, attempt: u32) {
        let Some(instance) = self.observed.instances.get_mut(&uid) else { return };
        if let Some(draining) = instance.draining.as_mut().filter(|_| instance.starts == attempt) {
            draining.idle = true;
            self.touched.insert(uid);
        }
    }
}
