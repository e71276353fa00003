//! Instances that run with the guards of an earlier release: what confines a container is set when it starts, so an
//! upgrade of Hoist reaches only what starts after it.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{HostReport, InstanceReport, InstanceUid, Phase, ServiceName, Slot, StackId};

use super::intent::View;

/// The running instances of these services that have other guards than their host would give them now.
pub(super) fn older(
    view: &View,
    stack: &StackId,
    services: &BTreeSet<ServiceName>,
) -> BTreeMap<InstanceUid, Slot> {
    let of_host = |report: &'_ HostReport| {
        let older = |instance: &InstanceReport| {
            let runs = matches!(instance.phase, Phase::Running | Phase::Stopping);
            let meant = instance.slot.stack == *stack && services.contains(&instance.slot.service);
            runs && meant && instance.guards != report.guards
        };
        let found = report.instances.iter().filter(|(_, instance)| older(instance));
        found.map(|(uid, instance)| (*uid, instance.slot.clone())).collect::<Vec<_>>()
    };
    view.values().flat_map(of_host).collect()
}

/// What to tell of them; nothing of those that are replaced anyway.
pub(super) fn notice(
    older: &BTreeMap<InstanceUid, Slot>,
    replaced: &BTreeSet<ServiceName>,
) -> Option<String> {
    let kept = older.values().filter(|slot| !replaced.contains(&slot.service));
    let mut names: Vec<String> = kept.map(Slot::short).collect();
    names.sort();
    (!names.is_empty()).then(|| {
        format!(
            "{} started before Hoist was upgraded, without this release's defaults for system calls, hidden paths, \
             capabilities and kernel settings; `hoist up --refresh-guards` replaces what is so",
            names.join(", ")
        )
    })
}
