//! Other content for a running instance: new files in the place of those that it has mounted, then the signal.

use std::fs;
use std::path::{Path, PathBuf};

use hoist_model::{InstanceUid, MountKind};
use hoist_planner::host::StepError;
use hoist_runtime::exchange;

use super::context::InstanceContext;
use super::{prepare, signal};
use crate::host::Host;
use crate::layout::InstanceLayout;
use crate::outcome::{blocking, failed, unmade};

pub(super) async fn run(
    host: &Host,
    uid: InstanceUid,
    instance: InstanceContext,
    pid: i32,
    told: &str,
) -> Result<(), StepError> {
    let layout = host.layout.instance(&uid);
    blocking(move || exchange_all(&layout, &instance, pid)).await?;
    signal::run(host, uid, told).await
}

/// Whoever opens a file meets the old one or the new one whole: each is made beside, and mounted in the other's place.
fn exchange_all(layout: &InstanceLayout, instance: &InstanceContext, pid: i32) -> Result<(), StepError> {
    for (number, mount) in instance.template.service.mounts.iter().enumerate() {
        let source = match &mount.kind {
            MountKind::Content { content, uid, gid, mode, .. } => {
                Some(made(&layout.file(&format!("content-{number}")), content, *mode, (*uid, *gid))?)
            }
            MountKind::Bind { source, content: Some(_), .. } => Some(source.clone()),
            _ => None,
        };
        if let Some(source) = source {
            let read_only = mount.read_only.then_some("ro");
            let options: Vec<&str> = mount.options.iter().map(String::as_str).chain(read_only).collect();
            exchange::file(pid, &source, &mount.target, &options).map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}

fn made(path: &Path, content: &[u8], mode: u32, owner: (u32, u32)) -> Result<PathBuf, StepError> {
    let beside = path.with_extension("next");
    prepare::write(&beside, content, mode, Some(owner))?;
    fs::rename(&beside, path).map_err(|error| unmade(path, &error))?;
    Ok(path.to_owned())
}
