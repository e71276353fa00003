//! A host's loop made from what the host reported: what a look ahead begins with. The journal knows more, but it is the
//! agent's alone; what is lost here (earlier restarts, faults) decides nothing about what a person asks for next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hoist_model::{
    Endpoints, Exit, HostReport, HostSpec, InstanceReport, InstanceUid, Parting, Phase, WantedRun,
};

use super::control::HostLoop;
use super::{
    Adopted, Birth, Draining, Effect, EndedBy, HooksRun, Input, Instance, Life, Process, Restored, StartedBy,
    Stopping,
};
use crate::Now;
use crate::rollout::Handover;

impl HostLoop {
    /// The loop of a host that follows this spec and has reported this, and what it does next by itself.
    #[must_use]
    pub fn recalled(
        spec: &HostSpec,
        endpoints: &Endpoints,
        report: &HostReport,
        now: &Now,
    ) -> (Self, Vec<Effect>) {
        let seen = report.instances.iter();
        let instances: BTreeMap<_, _> =
            seen.map(|(uid, seen)| (*uid, instance(spec, report, *uid, seen, now))).collect();
        let processes = instances.iter().filter_map(|(uid, instance)| Some((*uid, process(instance)?)));
        let adopted = Adopted {
            processes: processes.collect(),
            networks: report.networks.clone(),
            volumes: report.volumes.clone(),
            routes: report.routes.clone(),
            ..Adopted::default()
        };
        let restored = Restored {
            host: report.host.clone(),
            boot: report.boot.clone(),
            started_by: StartedBy::Crash,
            daemon: Some((report.epoch, report.boot.clone())),
            spec: Some(spec.clone()),
            endpoints: Some(endpoints.clone()),
            instances,
            guards: report.guards,
        };
        let (mut host, mut effects) = Self::restore(restored, now);
        effects.extend(host.step(now, Input::Adopted(adopted)));
        (host, effects)
    }
}

fn process(instance: &Instance) -> Option<Process> {
    let Life::Running { since, pid } = &instance.life else { return None };
    Some(Process { attempt: instance.starts, since: since.clone(), pid: *pid, ended: None })
}

fn instance(
    spec: &HostSpec,
    report: &HostReport,
    uid: InstanceUid,
    seen: &InstanceReport,
    now: &Now,
) -> Instance {
    let birth = Birth::of(spec, uid).unwrap_or_else(|| born_before(seen));
    let hooks =
        HooksRun { post_start: if seen.hooks_pending { 0 } else { birth.post_start }, ..HooksRun::default() };
    let draining = seen.parting.filter(|parting| *parting == Parting::Drains).map(|_| Draining {
        since: report.seen_at.clone(),
        signalled: true,
        idle: false,
    });
    let stopping =
        (seen.phase == Phase::Stopping).then(|| Stopping { since: report.seen_at.clone(), killed: false });
    Instance {
        life: life(spec, report, uid, seen),
        starts: seen.starts,
        restarts: seen.starts.saturating_sub(1),
        restart_nonce: seen.restart_nonce,
        start_nonce: seen.start_nonce,
        health: seen.health,
        probe: seen.probe.clone(),
        oom_killed: seen.oom_killed,
        stopping,
        created: seen.created,
        started: seen.started,
        finished: seen.finished,
        exit: seen.exit,
        come_up: seen.pid.is_some() && seen.unready.is_none(),
        listening: seen.listening.clone(),
        draining,
        hooks,
        guards: seen.guards,
        ..Instance::born(birth, spec, uid, now)
    }
}

fn life(spec: &HostSpec, report: &HostReport, uid: InstanceUid, seen: &InstanceReport) -> Life {
    if let Some(pid) = seen.pid {
        return Life::Running { since: seen.since.clone().unwrap_or_else(|| report.seen_at.clone()), pid };
    }
    let stopped = |run: &WantedRun| matches!(run, WantedRun::Stopped { .. });
    let told = spec.instances.get(&uid).is_some_and(|wanted| stopped(&wanted.run));
    match seen.phase {
        Phase::Exited | Phase::Restarting(_) => Life::Ended {
            exit: seen.exit.unwrap_or(Exit::Unknown),
            at: Some(report.seen_at.clone()),
            by: if told { EndedBy::Hoist } else { EndedBy::Itself },
            epoch: report.epoch,
        },
        _ => Life::Created,
    }
}

/// Of an instance that is on its way out and in no spec any more, only this is known.
fn born_before(seen: &InstanceReport) -> Birth {
    Birth {
        slot: seen.slot.clone(),
        kind: seen.kind,
        revision: seen.revision,
        template: seen.template,
        stop_signal: "SIGTERM".to_owned(),
        stop_grace: Duration::from_secs(10),
        depends_on: BTreeSet::new(),
        addresses: seen.addresses.clone(),
        volumes: BTreeSet::new(),
        handover: Handover::default(),
        host_names: BTreeSet::new(),
        anonymous: BTreeMap::new(),
        post_start: 0,
        pre_stop: None,
    }
}
