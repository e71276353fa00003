//! What `down` takes away, and when nothing is left.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{
    HostId, HostReport, HostSpec, InstanceReport, NetworkId, RunIntent, ServiceName, StackId, VolumeId,
    WantedStack,
};

use super::PlanInput;

/// Volumes to remove from a host: those of stacks that go with `-v`, and those that a person pruned, while they are
/// there and nobody else mounts them.
pub(super) fn volumes(input: &PlanInput<'_>, report: &HostReport, spec: &HostSpec) -> Vec<VolumeId> {
    let named = named(input.wanted);
    let pruned = input.record.pruned.iter().filter(|id| !named.contains(id));
    let doomed: BTreeSet<&VolumeId> = input.wanted.values().flat_map(doomed).chain(pruned).collect();
    let there =
        doomed.into_iter().filter(|id| report.volumes.contains(id) && !spec.volumes.contains_key(*id));
    there.cloned().collect()
}

/// Volumes that are on a host and that no kept revision of any stack names: what `system prune --volumes --all` takes.
#[must_use]
pub fn unnamed_volumes(
    wanted: &BTreeMap<StackId, WantedStack>,
    view: &BTreeMap<HostId, HostReport>,
) -> BTreeSet<VolumeId> {
    let named = named(wanted);
    let there = view.values().flat_map(|report| &report.volumes);
    there.filter(|id| !named.contains(id)).cloned().collect()
}

fn named(wanted: &BTreeMap<StackId, WantedStack>) -> BTreeSet<&VolumeId> {
    let revisions = wanted.values().flat_map(|wanted| wanted.revisions.values());
    revisions.flat_map(|revision| revision.stack.volumes.values()).map(|volume| &volume.id).collect()
}

fn doomed(wanted: &WantedStack) -> impl Iterator<Item = &VolumeId> {
    let removed = wanted.removal.is_some_and(|removal| removal.volumes);
    let revisions = wanted.revisions.values().filter(move |_| removed);
    let volumes = revisions.flat_map(|revision| revision.stack.volumes.values());
    volumes.filter(|volume| !volume.external).map(|volume| &volume.id)
}

/// Stacks and services that should go and of which no host has anything left.
pub(super) fn gone(
    input: &PlanInput<'_>,
    specs: &BTreeMap<HostId, HostSpec>,
) -> (BTreeSet<StackId>, BTreeSet<(StackId, ServiceName)>) {
    let mut stacks = BTreeSet::new();
    let mut services = BTreeSet::new();
    for (id, wanted) in input.wanted {
        let absent = wanted.intents.iter().filter(|(_, intent)| intent.run == RunIntent::Absent);
        let left = absent.filter(|(name, _)| !any_instance(input, specs, id, Some(*name)));
        services.extend(left.map(|(name, _)| (id.clone(), name.clone())));
        if wanted.removal.is_some() && nothing_left(input, specs, id, wanted) {
            stacks.insert(id.clone());
        }
    }
    (stacks, services)
}

fn nothing_left(
    input: &PlanInput<'_>,
    specs: &BTreeMap<HostId, HostSpec>,
    id: &StackId,
    wanted: &WantedStack,
) -> bool {
    let networks: BTreeSet<&NetworkId> = wanted
        .revisions
        .values()
        .flat_map(|revision| revision.stack.networks.values())
        .filter(|network| !network.external)
        .map(|network| &network.id)
        .collect();
    let resources = specs.iter().any(|(host, spec)| {
        let Some(report) = input.view.get(host) else { return true };
        let network = |id: &&NetworkId| report.networks.contains_key(*id) && !spec.networks.contains_key(*id);
        !spec.removed_volumes.is_empty() && doomed(wanted).any(|id| spec.removed_volumes.contains(id))
            || networks.iter().any(network)
    });
    !resources && !any_instance(input, specs, id, None)
}

/// Whether a spec or a report has an instance of the stack, or of one of its services. A report older than the spec
/// says nothing yet.
fn any_instance(
    input: &PlanInput<'_>,
    specs: &BTreeMap<HostId, HostSpec>,
    stack: &StackId,
    service: Option<&ServiceName>,
) -> bool {
    let matches =
        |slot: &hoist_model::Slot| slot.stack == *stack && service.is_none_or(|s| slot.service == *s);
    specs.iter().any(|(host, spec)| {
        // A host that was never sent a spec follows the empty one: no report of its own would tell of that.
        let before = input.previous.get(host);
        let stale = before.map_or(*spec != HostSpec::default(), |before| before != spec)
            || input.view.get(host).is_none_or(|report| report.generation < spec.generation);
        let seen = |report: &HostReport| {
            report.instances.values().any(|instance: &InstanceReport| matches(&instance.slot))
        };
        stale
            || spec.instances.values().any(|instance| matches(&instance.slot))
            || input.view.get(host).is_some_and(seen)
    })
}
