//! The host's report: what is known, put as the orchestrator reads it.

use hoist_model::{HostId, HostReport, InstanceReport, InstanceUid, Parting, Phase, PublishedReport};

use super::{HostPlan, Instance, Life, Observed, PublishSeen};
use crate::Now;

/// The report after a plan: `plan` gives phases and failures.
pub(super) fn report(host: &HostId, observed: &Observed, plan: &HostPlan, now: &Now) -> HostReport {
    HostReport {
        host: host.clone(),
        boot: observed.boot.clone(),
        epoch: observed.epoch,
        generation: hoist_model::Generation::default(),
        settled: plan.settled,
        instances: observed
            .instances
            .iter()
            .map(|(uid, instance)| (*uid, instance_report(observed, plan, *uid, instance)))
            .collect(),
        networks: observed.networks.clone(),
        volumes: observed.volumes.iter().cloned().collect(),
        routes: observed.routes.clone(),
        failures: plan.failures.clone(),
        memory: observed.memory,
        seen_at: now.moment.clone(),
        guards: hoist_model::Guards::default(),
    }
}

fn instance_report(
    observed: &Observed,
    plan: &HostPlan,
    uid: InstanceUid,
    instance: &Instance,
) -> InstanceReport {
    let birth = &instance.birth;
    let (pid, since) = match &instance.life {
        Life::Running { pid, since } => (Some(*pid), Some(since.clone())),
        _ => (None, None),
    };
    InstanceReport {
        slot: birth.slot.clone(),
        kind: birth.kind,
        revision: birth.revision,
        template: birth.template,
        phase: plan.phases.get(&uid).cloned().unwrap_or(Phase::Starting),
        health: instance.health,
        probe: instance.probe.clone(),
        starts: instance.starts,
        started: instance.started,
        since,
        finished: instance.finished,
        exit: instance.exit.filter(|_| pid.is_none()),
        oom_killed: instance.oom_killed,
        created: instance.created,
        pid,
        addresses: birth.addresses.clone(),
        ports: pid.map(|_| ports(observed, instance)).unwrap_or_default(),
        restart_nonce: instance.restart_nonce,
        start_nonce: instance.start_nonce,
        unready: plan.unready.get(&uid).cloned(),
        parting: plan.parting.get(&uid).copied().or(instance.draining.as_ref().map(|_| Parting::Drains)),
        listening: instance.listening.clone(),
        hooks_pending: pid.is_some() && !instance.is_hooked(),
        guards: instance.guards,
    }
}

fn ports(observed: &Observed, instance: &Instance) -> Vec<PublishedReport> {
    let slot = &instance.birth.slot;
    let own = observed.published.iter().filter(|(key, _)| {
        key.stack == slot.stack
            && key.service == slot.service
            && key.slot.is_none_or(|index| index == slot.index)
    });
    own.filter_map(|(_, seen)| match seen {
        PublishSeen::Reserved(report) => Some(report.clone()),
        PublishSeen::Refused(_) => None,
    })
    .collect()
}
