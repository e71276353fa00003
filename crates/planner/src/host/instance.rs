//! How one instance changes: made, running, ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::{Guards, Health, HostSpec, InstanceUid, Moment, Template};

use super::{Birth, HooksRun, Instance, Life, restart};
use crate::Now;
use crate::rollout::Handover;

impl Birth {
    /// What an instance of the spec is made with; none when the spec, or its template, isn't there.
    #[must_use]
    pub fn of(spec: &HostSpec, uid: InstanceUid) -> Option<Birth> {
        let instance = spec.instances.get(&uid)?;
        let template = spec.templates.get(&instance.template)?;
        Some(Birth {
            slot: instance.slot.clone(),
            kind: instance.kind,
            revision: instance.revision,
            template: instance.template,
            stop_signal: crate::stop_signal(template),
            stop_grace: template.service.stop_grace_period,
            depends_on: instance.gates.iter().map(|gate| gate.service.clone()).collect(),
            addresses: instance.addresses.clone(),
            volumes: template.volumes.values().cloned().collect(),
            handover: Handover::of(template),
            host_names: host_names(template),
            anonymous: crate::template::anonymous_volumes(template),
            post_start: u32::try_from(template.service.hooks.post_start.len()).unwrap_or(u32::MAX),
            pre_stop: pre_stop(template),
        })
    }
}

impl Instance {
    pub(super) fn born(birth: Birth, spec: &HostSpec, uid: InstanceUid, now: &Now) -> Self {
        let wanted = spec.instances.get(&uid);
        Self {
            birth,
            life: Life::Making,
            starts: 0,
            restarts: 0,
            pause: Duration::ZERO,
            restart_nonce: wanted.map_or(0, |wanted| wanted.restart_nonce),
            start_nonce: wanted.map_or(0, |wanted| wanted.start_nonce),
            health: Health::None,
            probe: None,
            oom_killed: false,
            stopping: None,
            created: now.wall,
            started: None,
            finished: None,
            exit: None,
            fault: None,
            joined: None,
            come_up: false,
            listening: BTreeSet::new(),
            draining: None,
            shaken: false,
            carried: false,
            unfit: false,
            ran: Duration::ZERO,
            hooks: HooksRun::default(),
            gap: None,
            contents: None,
            guards: Guards::UNKNOWN,
        }
    }

    /// Its process runs, as start number `attempt`.
    pub(super) fn running(&mut self, attempt: u32, since: Moment, pid: i32, checked: bool, now: &Now) {
        self.life = Life::Running { since, pid };
        self.starts = attempt;
        self.started = Some(now.wall);
        self.health = if checked { Health::Starting } else { Health::None };
        self.probe = None;
        self.oom_killed = false;
        self.fault = None;
        self.come_up = false;
        self.listening.clear();
        self.draining = None;
        self.unfit = false;
        self.shaken = false;
        self.hooks = HooksRun::default();
    }

    /// Run number `attempt` is over; `life` says how.
    pub(super) fn ended(&mut self, attempt: u32, life: Life, now: &Now) {
        let since = match &self.life {
            Life::Running { since, .. } => now.moment.since(since),
            _ => None,
        };
        if let Life::Ended { exit, .. } = &life {
            self.exit = Some(*exit);
        }
        self.ran = since.unwrap_or_default();
        self.pause = restart::pause(self.pause, self.ran);
        self.life = life;
        self.starts = attempt;
        self.started = self.started.or(Some(now.wall));
        self.finished = Some(now.wall);
        self.stopping = None;
        self.draining = None;
        self.come_up = false;
        self.health = Health::None;
        self.probe = None;
        self.fault = None;
    }
}

/// The hooks run inside an instance that has its mounts: their content, secrets among it, is not kept once more.
fn pre_stop(template: &Template) -> Option<Arc<Template>> {
    if template.service.hooks.pre_stop.is_empty() {
        return None;
    }
    let mut kept = template.clone();
    kept.service.mounts.clear();
    Some(Arc::new(kept))
}

/// In lower case: DNS tells no cases apart, and several instances may have one host name.
fn host_names(template: &Template) -> BTreeSet<String> {
    let service = &template.service;
    let host = service.hostname.as_ref().map(|host| host.trim_end_matches('.').to_ascii_lowercase());
    let Some(host) = host.filter(|host| !host.is_empty()) else { return BTreeSet::new() };
    let whole = service.domainname.as_ref().map(|domain| format!("{host}.{}", domain.to_ascii_lowercase()));
    whole.into_iter().chain([host]).collect()
}
