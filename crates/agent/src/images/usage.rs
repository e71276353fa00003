//! What takes how much room on this host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use hoist_image::Digest;
use hoist_image::builder::Kept;
use hoist_image::store::disk_bytes;
use hoist_model::VolumeId;
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
        let kept = self.store.builds().map_err(|error| ApiError::internal(&error))?;
        let (builds, theirs) = builds(&kept);
        let each_volume = folders(&layout.volumes());
        Ok(DiskUsage {
            images,
            layers: usage.layers.saturating_sub(theirs),
            blobs: usage.blobs,
            reclaimable,
            instances: row(&folders(&layout.instances()), &running.unwrap_or_default()),
            volumes: row(&each_volume, &volumes),
            each_volume: each_volume
                .into_iter()
                .filter_map(|(id, bytes)| Some((VolumeId::new(id).ok()?, bytes)))
                .collect(),
            builds,
        })
    }
}

/// What builds left, and the bytes of layers among it. What an image has too is that image's, and frees nothing.
fn builds(kept: &[Kept]) -> (UsageRow, u64) {
    let (shared, own): (Vec<&Kept>, Vec<&Kept>) = kept.iter().partition(|kept| !kept.images.is_empty());
    let sum = |kept: &[&Kept]| kept.iter().map(|kept| kept.bytes).sum::<u64>();
    let layers: Vec<&Kept> = own.iter().copied().filter(|kept| !kept.is_mount()).collect();
    let row = UsageRow {
        count: kept.len() as u64,
        active: shared.len() as u64,
        bytes: sum(&own),
        reclaimable: sum(&own),
    };
    (row, sum(&layers))
}

/// The folders below one, with their bytes.
fn folders(folder: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), disk_bytes(&entry.path())))
        .collect()
}

/// All of them, those with a name in `active` being used.
fn row(folders: &BTreeMap<String, u64>, active: &BTreeSet<String>) -> UsageRow {
    let mut row = UsageRow::default();
    for (name, bytes) in folders {
        row.count += 1;
        row.bytes += bytes;
        if active.contains(name) {
            row.active += 1;
        } else {
            row.reclaimable += bytes;
        }
    }
    row
}
