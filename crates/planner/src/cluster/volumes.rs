//! Volumes of a host: those that services mount.

use std::collections::BTreeMap;

use hoist_model::{Failure, HostReport, HostSpec, StackId, Subject, Volume, VolumeId, VolumeSpec};

use super::PlanInput;
use super::classify::Desired;

/// Adds the volumes that services mount.
///
/// # Errors
/// External ones that don't exist and that no stack declares.
pub(super) fn add(
    services: &[Desired<'_>],
    input: &PlanInput<'_>,
    report: &HostReport,
    previous: &HostSpec,
    spec: &mut HostSpec,
) -> Result<(), BTreeMap<StackId, Vec<Failure>>> {
    let mut failures: BTreeMap<StackId, Vec<Failure>> = BTreeMap::new();
    for service in services {
        for id in service.defined.template.volumes.values() {
            match owner(id, service, input) {
                Some((owner, volume)) => {
                    let volume = VolumeSpec { owner: Some(owner.clone()), options: volume.options.clone() };
                    spec.volumes.insert(id.clone(), volume);
                }
                None if report.volumes.contains(id) || previous.volumes.contains_key(id) => {
                    let before = previous.volumes.get(id).cloned();
                    let unknown = VolumeSpec { owner: None, options: BTreeMap::new() };
                    spec.volumes.insert(id.clone(), before.unwrap_or(unknown));
                }
                None => failures.entry(service.stack.clone()).or_default().push(missing(id)),
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// The stack that declares a volume as its own: the service's, else the first by name.
fn owner<'a>(
    id: &VolumeId,
    service: &'a Desired<'_>,
    input: &'a PlanInput<'_>,
) -> Option<(&'a StackId, &'a Volume)> {
    let own = (service.stack, &service.revision.stack);
    let newest =
        input.wanted.iter().filter(|(_, wanted)| wanted.removal.is_none()).filter_map(|(id, wanted)| {
            let (_, revision) = wanted.revisions.last_key_value()?;
            Some((id, &revision.stack))
        });
    let mut stacks = std::iter::once(own).chain(newest);
    stacks.find_map(|(stack, declared)| {
        let volume = declared.volumes.values().find(|volume| volume.id == *id && !volume.external)?;
        Some((stack, volume))
    })
}

fn missing(id: &VolumeId) -> Failure {
    Failure {
        subject: Subject::Volume(id.clone()),
        what: format!("volume {id} is external, but it doesn't exist and no stack declares it"),
        hint: Some("bring up the stack that declares it first, or remove `external: true`".to_owned()),
        permanent: true,
    }
}
