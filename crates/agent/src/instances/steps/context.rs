//! What a step needs beyond its id, taken from the loop at the moment the step is returned.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use hoist_model::{InstanceSpec, Mount, MountKind, NetworkId, NetworkSpec, Template, VolumeId, VolumeSpec};
use hoist_planner::host::{HookRun, HostLoop, Step};

use crate::instances::volume::DataLocation;

/// The part of the spec that a step acts on.
#[derive(Debug)]
pub(crate) enum StepContext {
    /// An instance.
    Instance(Box<InstanceContext>),
    /// An instance whose files get other content, and its process.
    Renewal(Box<InstanceContext>, i32),
    /// A network.
    Network(NetworkSpec),
    /// A volume.
    Volume(VolumeSpec),
    /// Anonymous volumes to move, by their numbers.
    Volumes(Vec<(usize, usize)>),
    /// A hook.
    Hook(Box<HookRun>),
    /// The spec has it no more, or the step needs nothing.
    Nothing,
}

/// What laying out and starting an instance needs.
#[derive(Debug, Clone)]
pub(crate) struct InstanceContext {
    pub(crate) spec: InstanceSpec,
    /// With the image's own volumes among its mounts.
    pub(crate) template: Arc<Template>,
    /// The networks that it is attached to.
    pub(crate) networks: BTreeMap<NetworkId, NetworkSpec>,
    /// The named volumes that it mounts.
    pub(crate) volumes: BTreeMap<VolumeId, VolumeSpec>,
    /// The process whose network namespace it shares (`network_mode: service:`), when that runs.
    pub(crate) network_of: Option<i32>,
}

impl StepContext {
    pub(crate) fn take(control: &HostLoop, step: &Step) -> Self {
        let spec = control.spec();
        match step {
            Step::EnsureNetwork(id) => spec.networks.get(id).cloned().map_or(Self::Nothing, Self::Network),
            Step::EnsureVolume(id) => spec.volumes.get(id).cloned().map_or(Self::Nothing, Self::Volume),
            Step::CreateInstance(uid) | Step::AttachInstance(uid) | Step::StartInstance { uid, .. } => {
                let Some(instance) = spec.instances.get(uid) else { return Self::Nothing };
                let Some(template) = spec.templates.get(&instance.template) else { return Self::Nothing };
                let volumes = volumes(control, template);
                Self::Instance(Box::new(InstanceContext {
                    spec: instance.clone(),
                    template: with_options_of_volumes(with_image_volumes(template), &volumes),
                    networks: networks(control, template),
                    volumes,
                    network_of: control.network_of(*uid),
                }))
            }
            Step::CarryVolumes { .. } => Self::Volumes(control.carried(step)),
            Step::RenewContents { uid, .. } => {
                let pid = control.renewed(step);
                match (pid, Self::take(control, &Step::AttachInstance(*uid))) {
                    (Some(pid), Self::Instance(instance)) => Self::Renewal(instance, pid),
                    _ => Self::Nothing,
                }
            }
            Step::RunHook { .. } => control.hook(step).map_or(Self::Nothing, |run| Self::Hook(Box::new(run))),
            _ => Self::Nothing,
        }
    }
}

fn networks(control: &HostLoop, template: &Template) -> BTreeMap<NetworkId, NetworkSpec> {
    let attached = template.service.networks.keys().filter_map(|name| template.networks.get(name));
    attached.filter_map(|id| Some((id.clone(), control.spec().networks.get(id)?.clone()))).collect()
}

fn volumes(control: &HostLoop, template: &Template) -> BTreeMap<VolumeId, VolumeSpec> {
    let mounted = template.service.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Volume { id, .. } => Some(id),
        _ => None,
    });
    mounted.filter_map(|id| Some((id.clone(), control.spec().volumes.get(id)?.clone()))).collect()
}

/// The template with an anonymous volume for each of the image's volumes that nothing else is mounted at.
fn with_image_volumes(template: &Arc<Template>) -> Arc<Template> {
    let declared = &template.service.mounts;
    let missing: Vec<PathBuf> = template
        .image
        .config
        .volumes
        .iter()
        .map(PathBuf::from)
        .filter(|target| !declared.iter().any(|mount| mount.target == *target))
        .collect();
    if missing.is_empty() {
        return Arc::clone(template);
    }
    let mut filled = (**template).clone();
    let anonymous =
        |target| Mount { target, kind: MountKind::Anonymous, read_only: false, options: Vec::new() };
    filled.service.mounts.extend(missing.into_iter().map(anonymous));
    Arc::new(filled)
}

/// The template with what a volume's options say of the mounts that show it (`o: bind,ro,noexec`).
fn with_options_of_volumes(
    template: Arc<Template>,
    volumes: &BTreeMap<VolumeId, VolumeSpec>,
) -> Arc<Template> {
    let folder = |id: &VolumeId| match DataLocation::read(&volumes.get(id)?.options) {
        Ok(DataLocation::Folder { read_only, options, .. }) => Some((read_only, options)),
        _ => None,
    };
    if volumes.keys().all(|id| folder(id).is_none()) {
        return template;
    }
    let mut changed = Arc::unwrap_or_clone(template);
    for mount in &mut changed.service.mounts {
        let MountKind::Volume { id, .. } = &mount.kind else { continue };
        let Some((read_only, options)) = folder(id) else { continue };
        mount.read_only |= read_only;
        // The service's own come later, and win.
        mount.options.splice(..0, options);
    }
    Arc::new(changed)
}
