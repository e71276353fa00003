//! What `ps` and its kin show: wanted state and reports side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hoist_model::{
    Command, HostReport, HostSpec, ImageSource, InstanceReport, InstanceUid, MountKind, NetworkId,
    NetworkSpec, Revision, StackId, Template, WantedStack,
};
use hoist_planner::cluster::overlaps;
use hoist_wire::{InstanceStatus, StackStatus};

use crate::snapshot::Snapshot;

/// One stack, if it is wanted or something of it is left.
pub(crate) fn stack(snapshot: &Snapshot, id: &StackId) -> Option<StackStatus> {
    let wanted = snapshot.stacks.get(id)?;
    let mut instances = Vec::new();
    for (host, report) in &*snapshot.view {
        let spec = snapshot.specs.get(host);
        instances.extend(of_host(id, wanted, report, spec));
    }
    instances.sort_by(|a, b| (&a.report.slot, &a.report.created).cmp(&(&b.report.slot, &b.report.created)));
    let warnings = warnings(snapshot, |users| users.contains(id));
    Some(StackStatus { id: id.clone(), wanted: present(wanted), instances, warnings })
}

/// What is wanted now, without what was before.
fn present(wanted: &WantedStack) -> WantedStack {
    let newest = wanted.revisions.last_key_value().map(|(number, _)| *number);
    let named: BTreeSet<Revision> = wanted.intents.values().map(|i| i.revision).chain(newest).collect();
    let revisions = wanted.revisions.iter().filter(|(number, _)| named.contains(number));
    WantedStack {
        revisions: revisions.map(|(number, revision)| (*number, Arc::clone(revision))).collect(),
        history: BTreeMap::new(),
        intents: wanted.intents.clone(),
        past_images: Vec::new(),
        project_dir: wanted.project_dir.clone(),
        files: wanted.files.clone(),
        removal: wanted.removal,
        stop_grace: wanted.stop_grace,
    }
}

/// Networks of some users that the host has elsewhere too.
pub(crate) fn warnings(snapshot: &Snapshot, of: impl Fn(&[StackId]) -> bool) -> Vec<String> {
    let mut warnings = Vec::new();
    for (host, report) in &*snapshot.view {
        let Some(spec) = snapshot.specs.get(host) else { continue };
        let ours =
            |id: &NetworkId| spec.networks.get(id).is_some_and(|network: &NetworkSpec| of(&network.users));
        warnings.extend(overlaps(spec, report).into_iter().filter(|(id, _)| ours(id)).map(|(_, text)| text));
    }
    warnings
}

/// All stacks.
pub(crate) fn stacks(snapshot: &Snapshot) -> Vec<StackStatus> {
    snapshot.stacks.keys().filter_map(|id| stack(snapshot, id)).collect()
}

fn of_host(
    id: &StackId,
    wanted: &WantedStack,
    report: &HostReport,
    spec: Option<&HostSpec>,
) -> Vec<InstanceStatus> {
    let own = report.instances.iter().filter(|(_, instance)| instance.slot.stack == *id);
    own.map(|(uid, instance)| {
        let template =
            spec.and_then(|spec| spec.templates.get(&instance.template)).map(|template| &**template);
        status(*uid, instance, wanted, template)
    })
    .collect()
}

fn status(
    uid: InstanceUid,
    report: &InstanceReport,
    wanted: &WantedStack,
    template: Option<&Template>,
) -> InstanceStatus {
    let newest = wanted.revisions.values().next_back();
    let orphan = newest.is_some_and(|newest| !newest.stack.services.contains_key(&report.slot.service));
    InstanceStatus {
        uid,
        report: report.clone(),
        image: template.map(image).unwrap_or_default(),
        command: template.map(command).unwrap_or_default(),
        labels: template
            .map(|t| [t.service.labels.clone(), t.labels.clone()].into_iter().flatten().collect())
            .unwrap_or_default(),
        mounts: template.map(mounts).unwrap_or_default(),
        orphan,
        probes: Vec::new(),
    }
}

fn image(template: &Template) -> String {
    match &template.image.source {
        ImageSource::Reference(reference) => reference.clone(),
        ImageSource::OciLayout { dir, tag: None } => format!("oci:{}", dir.display()),
        ImageSource::OciLayout { dir, tag: Some(tag) } => format!("oci:{}:{tag}", dir.display()),
        ImageSource::Rootfs(dir) => format!("rootfs:{}", dir.display()),
    }
}

fn command(template: &Template) -> Vec<String> {
    let image = &template.image.config;
    let (entrypoint, inherited): (&[String], &[String]) = match &template.service.entrypoint {
        Command::Image => (&image.entrypoint, &image.command),
        Command::Given(words) => (words, &[]),
    };
    let command = match &template.service.command {
        Command::Image => inherited,
        Command::Given(words) => words,
    };
    entrypoint.iter().chain(command).cloned().collect()
}

fn mounts(template: &Template) -> Vec<String> {
    let name = |mount: &hoist_model::Mount| match &mount.kind {
        MountKind::Bind { source, .. } => Some(source.display().to_string()),
        MountKind::Volume { id, .. } => Some(id.to_string()),
        MountKind::Anonymous | MountKind::Tmpfs(_) | MountKind::Content { .. } => None,
    };
    template.service.mounts.iter().filter_map(name).collect()
}
