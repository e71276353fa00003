//! Lays out an instance: its folders and its writable layer. No process yet.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use hoist_model::{InstanceUid, MountKind, Template};
use hoist_planner::host::StepError;

use super::context::InstanceContext;
use crate::host::Host;
use crate::layout::InstanceLayout;
use crate::outcome::{blocking, unmade};

pub(super) async fn run(host: &Host, uid: InstanceUid, instance: InstanceContext) -> Result<(), StepError> {
    let _turn = host.turn().await?;
    let layout = host.layout.instance(&uid);
    blocking(move || lay_out(&layout, &instance.template)).await
}

/// Makes the folders again that somebody has removed since: what was in them is lost, and the operator is told.
pub(super) fn mend(
    layout: &InstanceLayout,
    uid: InstanceUid,
    instance: &InstanceContext,
) -> Result<(), StepError> {
    if layout.upper().exists() {
        return Ok(());
    }
    let slot = &instance.spec.slot;
    let folder = layout.dir().display();
    tracing::warn!(instance = %uid.short(), %slot, "its files in {folder} were removed: it starts with new ones");
    lay_out(layout, &instance.template)
}

fn lay_out(layout: &InstanceLayout, template: &Template) -> Result<(), StepError> {
    let mut folders = vec![(layout.dir().to_owned(), 0o700), (layout.upper(), 0o755), (layout.work(), 0o700)];
    folders.push((layout.log(), 0o700));
    let mounts = template.service.mounts.iter().enumerate();
    let anonymous = mounts.filter(|(_, mount)| matches!(mount.kind, MountKind::Anonymous));
    folders.extend(anonymous.map(|(number, _)| (layout.anonymous_volume(number), 0o755)));
    folders.iter().try_for_each(|(path, mode)| make(path, *mode).map_err(|error| unmade(path, &error)))
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    // The umask has no say in what a container sees.
    let is_seen = mode & 0o077 != 0;
    if is_seen { std::fs::set_permissions(path, Permissions::from_mode(mode)) } else { Ok(()) }
}
