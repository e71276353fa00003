//! What takes how much room on this host.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use hoist_image::Digest;
use hoist_wire::{ApiError, DiskUsage, ImageQuery, UsageRow};

use super::Images;
use super::list::summary;
use crate::host::Known;
use crate::layout::Layout;

impl Images {
    pub(crate) fn disk_usage(
        &self,
        query: &ImageQuery,
        layout: &Layout,
        known: &Known,
    ) -> Result<DiskUsage, ApiError> {
        let usage = self.store.usage().map_err(|error| ApiError::internal(&error))?;
        let in_use = super::ids(&query.in_use);
        let mut images = Vec::new();
        for image in self.store.list().map_err(|error| ApiError::internal(&error))? {
            let bytes = usage.images.iter().find(|one| one.id == image.id);
            let (shared, unique) = bytes.map_or((0, 0), |one| (one.shared, one.unique));
            images.push((summary(&image, &in_use), shared, unique));
        }
        let unused = |(id, unique): (&Digest, u64)| if in_use.contains(id) { 0 } else { unique };
        let reclaimable = usage.images.iter().map(|one| unused((&one.id, one.unique))).sum();
        let running = known.report.as_ref().map(|report| {
            let alive = report.instances.iter().filter(|(_, instance)| instance.pid.is_some());
            alive.map(|(uid, _)| uid.to_string()).collect::<BTreeSet<_>>()
        });
        let volumes: BTreeSet<String> = known.spec.volumes.keys().map(ToString::to_string).collect();
        Ok(DiskUsage {
            images,
            layers: usage.layers,
            blobs: usage.blobs,
            reclaimable,
            instances: rows(&layout.instances(), &running.unwrap_or_default()),
            volumes: rows(&layout.volumes(), &volumes),
        })
    }
}

/// The folders below one, those with a name in `active` being used.
fn rows(folder: &Path, active: &BTreeSet<String>) -> UsageRow {
    let mut row = UsageRow::default();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let bytes = bytes_below(&entry.path());
        row.count += 1;
        row.bytes += bytes;
        if active.contains(&*entry.file_name().to_string_lossy()) {
            row.active += 1;
        } else {
            row.reclaimable += bytes;
        }
    }
    row
}

/// Bytes on the disk below a path, on its own file system; what goes meanwhile counts nothing.
fn bytes_below(path: &Path) -> u64 {
    let Ok(top) = fs::symlink_metadata(path) else { return 0 };
    let mut waiting = vec![path.to_owned()];
    let mut sum = 0;
    while let Some(path) = waiting.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.dev() != top.dev() {
            continue;
        }
        // st_blocks counts 512-byte units, inode(7).
        sum += meta.blocks() * 512;
        if meta.is_dir() {
            waiting.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    sum
}
