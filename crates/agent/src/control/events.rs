//! What an operator reads in the agent's log: specs, steps with their causes, and what becomes of instances. Says what
//! the loop was told and asked for; decides nothing.

use std::collections::BTreeMap;

use hoist_model::{Exit, Generation, Health, HostReport, HostSpec, InstanceReport, InstanceUid, Slot};
use hoist_planner::host::{HostPlan, Step, StepResult};
use hoist_wire::PutSpecError;

/// A spec was accepted, and is on disk.
pub(crate) fn accepted(spec: &HostSpec) {
    let (instances, networks, volumes) = (spec.instances.len(), spec.networks.len(), spec.volumes.len());
    tracing::info!(generation = %spec.generation, instances, networks, volumes, "spec accepted");
}

/// A spec was refused.
pub(crate) fn refused(generation: Generation, error: &PutSpecError) {
    tracing::warn!(%generation, %error, "spec refused");
}

/// A step of the last plan begins.
pub(crate) fn begun(plan: &HostPlan, spec: &HostSpec, report: Option<&HostReport>, step: &Step) {
    let planned = plan.steps.iter().find(|planned| planned.step == *step);
    let cause = planned.map_or("", |planned| planned.cause.as_str());
    match step.instance().and_then(|uid| slot(spec, report, uid)) {
        Some(slot) => tracing::info!(%step, %slot, cause, "step begun"),
        None => tracing::info!(%step, cause, "step begun"),
    }
}

/// A step has ended, well or not.
pub(crate) fn ended(spec: &HostSpec, report: Option<&HostReport>, step: &Step, result: &StepResult) {
    let Err(error) = result else {
        tracing::debug!(%step, "step done");
        return;
    };
    let (hint, permanent) = (error.hint.as_deref().unwrap_or_default(), error.permanent);
    match step.instance().and_then(|uid| slot(spec, report, uid)) {
        Some(slot) => tracing::warn!(%step, %slot, error = error.what, hint, permanent, "step failed"),
        None => tracing::warn!(%step, error = error.what, hint, permanent, "step failed"),
    }
}

/// The slot that an instance fills; the spec may not have it any more, or no report yet.
fn slot<'a>(spec: &'a HostSpec, report: Option<&'a HostReport>, uid: InstanceUid) -> Option<&'a Slot> {
    let wanted = spec.instances.get(&uid).map(|instance| &instance.slot);
    wanted.or_else(|| report?.instances.get(&uid).map(|instance| &instance.slot))
}

/// What has become of instances between two reports.
pub(crate) fn reported(before: Option<&HostReport>, after: &HostReport) {
    let Some(before) = before else {
        let running = after.instances.values().filter(|instance| instance.pid.is_some()).count();
        tracing::info!(generation = %after.generation, instances = after.instances.len(), running, "host looked at");
        return;
    };
    for (uid, change) in changes(&before.instances, &after.instances) {
        let Some(instance) = after.instances.get(&uid).or_else(|| before.instances.get(&uid)) else {
            continue;
        };
        say(uid, instance, &change);
    }
}

fn say(uid: InstanceUid, instance: &InstanceReport, change: &Change) {
    let (id, slot) = (uid.short(), &instance.slot);
    match change {
        Change::Started { pid } => tracing::info!(instance = %id, %slot, pid, "instance started"),
        Change::Restarted { pid, starts } => {
            tracing::info!(instance = %id, %slot, pid, starts, "instance restarted");
        }
        Change::Exited { exit, oom_killed } => {
            tracing::info!(instance = %id, %slot, %exit, oom_killed, "instance exited");
        }
        Change::Unhealthy { output } => tracing::warn!(instance = %id, %slot, output, "instance unhealthy"),
        Change::Healthy => tracing::info!(instance = %id, %slot, "instance healthy"),
        Change::Removed => tracing::info!(instance = %id, %slot, "instance removed"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Started { pid: i32 },
    Restarted { pid: i32, starts: u32 },
    Exited { exit: Exit, oom_killed: bool },
    Unhealthy { output: String },
    Healthy,
    Removed,
}

type Instances = BTreeMap<InstanceUid, InstanceReport>;

/// The changes of each instance, in the order in which they came about: an end comes before the start after it.
fn changes(before: &Instances, after: &Instances) -> Vec<(InstanceUid, Change)> {
    let mut changes = Vec::new();
    for (uid, new) in after {
        let old = before.get(uid);
        changes.extend(
            exited(old, new)
                .into_iter()
                .chain(started(old, new))
                .chain(health(old, new))
                .map(|change| (*uid, change)),
        );
    }
    let gone = before.keys().filter(|uid| !after.contains_key(uid));
    changes.extend(gone.map(|uid| (*uid, Change::Removed)));
    changes
}

fn exited(old: Option<&InstanceReport>, new: &InstanceReport) -> Option<Change> {
    let (before, now) = (old.and_then(|old| old.finished), new.finished);
    let exit = new.exit.filter(|_| now.is_some() && now != before)?;
    Some(Change::Exited { exit, oom_killed: new.oom_killed })
}

fn started(old: Option<&InstanceReport>, new: &InstanceReport) -> Option<Change> {
    let running = |instance: &InstanceReport| instance.pid.map(|pid| (instance.starts, pid));
    let (starts, pid) = running(new).filter(|run| old.and_then(running) != Some(*run))?;
    Some(if starts > 1 { Change::Restarted { pid, starts } } else { Change::Started { pid } })
}

fn health(old: Option<&InstanceReport>, new: &InstanceReport) -> Option<Change> {
    if old.map(|old| old.health) == Some(new.health) {
        return None;
    }
    match new.health {
        Health::Unhealthy => {
            let output = new.probe.as_ref().map(|probe| probe.output.trim().to_owned());
            Some(Change::Unhealthy { output: output.unwrap_or_default() })
        }
        Health::Healthy => Some(Change::Healthy),
        Health::Starting | Health::None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hoist_model::{
        Guards, InstanceKind, Phase, Revision, ServiceName, StackId, StackName, TemplateHash, WallTime,
    };

    use super::*;

    fn instance(starts: u32, pid: Option<i32>, finished: Option<i64>, health: Health) -> InstanceReport {
        let stack = StackId::new(StackName::new("shop").unwrap());
        InstanceReport {
            slot: Slot { stack, service: ServiceName::new("web").unwrap(), index: 1 },
            kind: InstanceKind::Replica,
            revision: Revision(1),
            template: TemplateHash::from_bytes([0; 32]),
            phase: if pid.is_some() { Phase::Running } else { Phase::Exited },
            health,
            probe: None,
            starts,
            started: None,
            since: None,
            finished: finished.map(WallTime),
            exit: finished.map(|_| Exit::Signal(9)),
            oom_killed: false,
            created: WallTime(0),
            pid,
            addresses: BTreeMap::new(),
            ports: Vec::new(),
            restart_nonce: 0,
            start_nonce: 0,
            unready: None,
            parting: None,
            listening: BTreeSet::new(),
            hooks_pending: false,
            guards: Guards::default(),
        }
    }

    fn between(before: Option<InstanceReport>, after: Option<InstanceReport>) -> Vec<Change> {
        let uid = InstanceUid::from_bytes([1; 16]);
        let of =
            |instance: Option<InstanceReport>| instance.map(|instance| (uid, instance)).into_iter().collect();
        changes(&of(before), &of(after)).into_iter().map(|(_, change)| change).collect()
    }

    #[test]
    fn a_life_is_told_once_and_in_order() {
        let (made, first) =
            (instance(0, None, None, Health::None), instance(1, Some(7), None, Health::Starting));
        let again = instance(2, Some(8), Some(5), Health::Starting);
        assert_eq!(between(None, Some(made.clone())), []);
        assert_eq!(between(Some(made), Some(first.clone())), [Change::Started { pid: 7 }]);
        assert_eq!(between(Some(first.clone()), Some(first.clone())), []);
        let exited = Change::Exited { exit: Exit::Signal(9), oom_killed: false };
        let restarted = Change::Restarted { pid: 8, starts: 2 };
        assert_eq!(between(Some(first), Some(again.clone())), [exited, restarted], "no report came between");
        assert_eq!(between(Some(again), None), [Change::Removed]);
    }

    #[test]
    fn health_is_told_when_it_changes() {
        let with = |health| Some(instance(1, Some(7), None, health));
        let unhealthy = Change::Unhealthy { output: String::new() };
        assert_eq!(between(with(Health::Starting), with(Health::Healthy)), [Change::Healthy]);
        assert_eq!(between(with(Health::Healthy), with(Health::Unhealthy)), [unhealthy]);
        assert_eq!(between(with(Health::Unhealthy), with(Health::Unhealthy)), []);
    }
}
