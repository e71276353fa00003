//! The image: its configuration and manifest, written down and registered.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::snapshot::Snapshot;
use super::{BuildError, StepError, Work};
use crate::builder::exchange;
use crate::builder::graph::{StepId, Tree};
use crate::digest::Digest;
use crate::layer::Compression;
use crate::manifest::{Descriptor, Manifest, OCI_CONFIG, layer_media_type};
use crate::store::{BlobError, NewImage, StoreError};

/// What an image takes over from its base.
#[derive(Default)]
struct Base {
    /// Each layer's diff id and blob, the bottom one first.
    layers: Vec<(Digest, Digest)>,
    history: Vec<Value>,
    created: Option<Value>,
}

/// Registers the image of the graph's target.
pub(super) fn commit(work: &Work<'_>, snapshots: &[Snapshot]) -> Result<Digest, BuildError> {
    let graph = work.graph;
    let base = base(work)?;
    let chain = match &graph.target {
        Tree::Step(id) => snapshots[id.0].chain.clone(),
        Tree::Image(_) => base.layers.iter().map(|(diff_id, _)| *diff_id).collect(),
        Tree::Empty | Tree::Context(_) => Vec::new(),
    };
    work.bring(&chain).map_err(|error| match error {
        StepError::Lost(layer) => BuildError::Lost(layer),
        StepError::Store(error) => BuildError::Store(error),
        _ => BuildError::Cancelled,
    })?;
    let mut layers = Vec::with_capacity(chain.len());
    for (at, diff_id) in chain.iter().enumerate() {
        // A layer that a step made is kept as it is, so its blob has the same digest.
        let blob =
            base.layers.get(at).filter(|(known, _)| known == diff_id).map_or(*diff_id, |(_, blob)| *blob);
        layers.push(descriptor(work, blob)?);
    }
    let mut config = config(work, snapshots, base, &chain);
    if work.build.caches.inline {
        exchange::add_records(&mut config, &work.entries(snapshots));
    }
    let config = serde_json::to_vec(&config).map_err(|error| written(error.into()))?;
    let entry = Descriptor::new(OCI_CONFIG, Digest::of(&config), config.len() as u64);
    let manifest =
        serde_json::to_vec(&Manifest::new(entry, layers)).map_err(|error| written(error.into()))?;
    let image = NewImage { manifest, config, names: work.build.options.names.clone() };
    Ok(work.session.register(&image)?)
}

fn written(source: std::io::Error) -> BuildError {
    BuildError::Store(StoreError::Io { action: "writing", path: PathBuf::from("the configuration"), source })
}

fn descriptor(work: &Work<'_>, blob: Digest) -> Result<Descriptor, BuildError> {
    let compression: Compression = work.session.blob_compression(blob)?;
    let size = work.build.store.blob(blob)?.metadata().map_err(written)?.len();
    Ok(Descriptor::new(&layer_media_type(compression), blob, size))
}

/// The image that the target stands on, at the very bottom.
fn base(work: &Work<'_>) -> Result<Base, BuildError> {
    let mut tree = &work.graph.target;
    while let Tree::Step(StepId(at)) = tree {
        tree = &work.graph.steps[*at].base;
    }
    let Tree::Image(id) = tree else { return Ok(Base::default()) };
    let store = work.build.store;
    let image = store.image_by_id(*id)?.ok_or(BuildError::Base(*id))?;
    let documents = store.documents(image.manifest, *id)?;
    let config: Value = serde_json::from_slice(&store.document(*id)?).map_err(|error| {
        BuildError::Blob(BlobError::Store(StoreError::Damaged { path: "the base".into(), source: error }))
    })?;
    let history = config.get("history").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(Base { layers: documents.layers(), history, created: config.get("created").cloned() })
}

fn config(work: &Work<'_>, snapshots: &[Snapshot], base: Base, chain: &[Digest]) -> Map<String, Value> {
    let (mut created, mut history) = (base.created.clone(), base.history);
    for line in &work.graph.history {
        let step = line.step.map(|id| &snapshots[id.0]);
        if let Some(snapshot) = step {
            created = Some(json!(rfc3339(snapshot.created)));
        }
        let mut entry = json!({ "created_by": line.created_by });
        if let Some(created) = &created {
            entry["created"] = created.clone();
        }
        if step.is_none_or(|snapshot| snapshot.layer.is_none()) {
            entry["empty_layer"] = json!(true);
        }
        history.push(entry);
    }
    if let Some(epoch) = work.build.options.epoch {
        created = Some(json!(rfc3339(epoch)));
    }
    let mut config = work.graph.config.clone();
    if let Some(created) = created {
        config.insert("created".to_owned(), created);
    }
    let diff_ids: Vec<String> = chain.iter().map(ToString::to_string).collect();
    config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
    config.insert("history".to_owned(), Value::Array(history));
    config
}

/// A time as RFC 3339 has it, in UTC.
fn rfc3339(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The Gregorian date so many days after 1970-01-01. Years begin in March, so that a leap day is the last.
fn date(days: i64) -> (i64, i64, i64) {
    const CYCLE: i64 = 146_097;
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(CYCLE), days.rem_euclid(CYCLE));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + cycle * 400 + i64::from(month <= 2), month, day - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_written_as_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (784_111_777, "1994-11-06T08:49:37Z"),
            (1_709_208_000, "2024-02-29T12:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
        ] {
            assert_eq!(super::rfc3339(seconds), text);
        }
    }
}
