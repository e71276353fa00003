//! Networks and volumes of a host: made before the first instance that uses them, removed after the last.

use hoist_model::{InstanceSpec, NetworkId, VolumeId};

use super::plan::Draft;
use super::view::View;
use super::{Instance, Step};

/// Removes networks that nobody wants, or whose subnets changed, and volumes that a person asked to remove.
pub(super) fn remove(draft: &mut Draft<'_>) {
    for (id, seen) in &draft.view.observed.networks {
        let cause = match draft.view.spec.networks.get(id) {
            None => "nothing uses it",
            Some(wanted) if wanted.subnets != seen.subnets => "its subnets change",
            Some(_) => continue,
        };
        if !any(&draft.view, |instance| instance.birth.addresses.contains_key(id)) {
            draft.want(Step::RemoveNetwork(id.clone()), cause);
        }
    }
    for id in &draft.view.spec.removed_volumes {
        let there = draft.view.observed.volumes.contains(id);
        if there && !any(&draft.view, |instance| instance.birth.volumes.contains(id)) {
            draft.want(Step::RemoveVolume(id.clone()), "a person asked for it");
        }
    }
}

fn any(view: &View<'_>, uses: impl Fn(&Instance) -> bool) -> bool {
    view.observed.instances.values().any(uses)
}

/// Makes what the spec names and the host doesn't have.
pub(super) fn ensure(draft: &mut Draft<'_>) {
    for id in draft.view.spec.networks.keys() {
        if !draft.view.observed.networks.contains_key(id) {
            draft.want(Step::EnsureNetwork(id.clone()), "the spec has it");
        }
    }
    for id in draft.view.spec.volumes.keys() {
        if !draft.view.observed.volumes.contains(id) {
            draft.want(Step::EnsureVolume(id.clone()), "the spec has it");
        }
    }
}

/// A network or volume that an instance needs and that isn't there yet, as it should be.
pub(super) fn missing(view: &View<'_>, spec: &InstanceSpec) -> Option<String> {
    let template = view.template(spec)?;
    let network = template.networks.values().find(|id| !network_there(view, id));
    let volume = template.volumes.values().find(|id| !volume_there(view, id));
    network.map(|id| format!("network {id}")).or_else(|| volume.map(|id| format!("volume {id}")))
}

fn network_there(view: &View<'_>, id: &NetworkId) -> bool {
    let (wanted, seen) = (view.spec.networks.get(id), view.observed.networks.get(id));
    wanted.zip(seen).is_some_and(|(wanted, seen)| wanted.subnets == seen.subnets)
        && !view.under_way(&Step::RemoveNetwork(id.clone()))
}

fn volume_there(view: &View<'_>, id: &VolumeId) -> bool {
    view.observed.volumes.contains(id) && !view.under_way(&Step::RemoveVolume(id.clone()))
}
