//! What earlier builds did: a step's key, and the layer that came out.
//!
//! A record is only a hint onto a layer of the store: without the layer it counts for nothing, and a record lost costs
//! one step run again. Records are written whole and renamed into place, so they outlive whoever wrote them.

mod kept;
mod key;
mod mounts;
mod step_locks;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub use kept::{Content, Kept};
pub(super) use key::Key;
pub(super) use mounts::{CacheMount, Wanted};
pub(super) use step_locks::StepLock;
pub(crate) use step_locks::StepLocks;

use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::store::{Session, Store, StoreError};

/// What a step left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// Nothing when the step changed no file.
    pub(crate) layer: Option<Digest>,
    /// Seconds since 1970.
    pub(crate) created: i64,
    /// The key that goes by what is read of stages, where this one goes by their layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thorough: Option<Digest>,
}

/// The records of a store.
#[derive(Debug)]
pub(super) struct Cache<'a> {
    root: PathBuf,
    session: &'a Session<'a>,
}

impl<'a> Cache<'a> {
    pub(super) fn open(store: &Store, session: &'a Session<'a>) -> Result<Self, StoreError> {
        let root = store.builds_folder();
        for folder in ["steps", "mounts", "packed"] {
            let path = root.join(folder);
            crate::store::make_directory(&path)?;
        }
        Ok(Self { root, session })
    }

    /// Where [`super::context::Memory`] is kept.
    pub(super) fn memory(&self) -> PathBuf {
        self.root.join("files.json")
    }

    /// Where cache mounts are kept.
    pub(super) fn mounts(&self) -> PathBuf {
        self.root.join("mounts")
    }

    /// What the step with this key left, if its layer is still there; it stays so while the session lives.
    pub(super) fn look(&self, key: Digest) -> Result<Option<Record>, StoreError> {
        let path = self.path(key);
        let Some(record) = read(&path) else { return Ok(None) };
        if let Some(layer) = record.layer
            && !(self.session.has_layer(layer)? && self.session.has_blob(layer)?)
        {
            return Ok(None);
        }
        // When it was last of use, for whoever forgets what is old.
        let _ = fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Ok(Some(record))
    }

    /// Notes what a step left. What can't be noted is done again another time.
    pub(super) fn keep(&self, key: Digest, record: &Record) {
        write(&self.path(key), record);
    }

    /// How a layer looked when it was last written to a cache as this media type, so that nobody compresses it again.
    pub(super) fn packed(&self, layer: Digest, kind: &str) -> Option<Descriptor> {
        let blob: Descriptor = serde_json::from_slice(&fs::read(self.packed_path(layer)).ok()?).ok()?;
        (blob.media_type == kind).then_some(blob)
    }

    /// Notes how a layer looks compressed.
    pub(super) fn keep_packed(&self, layer: Digest, blob: &Descriptor) {
        write(&self.packed_path(layer), blob);
    }

    fn packed_path(&self, layer: Digest) -> PathBuf {
        self.root.join("packed").join(layer.hex())
    }

    fn path(&self, key: Digest) -> PathBuf {
        self.root.join("steps").join(key.hex())
    }
}

/// Writes a hint, whole or not at all.
fn write(path: &Path, hint: &impl Serialize) {
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let json = serde_json::to_vec(hint).map_err(io::Error::other);
    let _ = json.and_then(|json| fs::write(&new, json)).and_then(|()| fs::rename(&new, path));
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

impl Store {
    fn builds_folder(&self) -> PathBuf {
        self.root().join("builds")
    }
}

#[cfg(test)]
mod tests {
    use hoist_goldens::Golden;

    use super::*;

    #[test]
    fn records_of_former_releases_are_read_and_come_to_the_same_values() {
        let record = Record {
            layer: Some(Digest::of(b"layer")),
            created: 1_700_000_000,
            thorough: Some(Digest::of(b"thorough")),
        };
        let golden = Golden::new(env!("CARGO_MANIFEST_DIR"), "v1/build-record.json");
        golden.is_written_for(&record);
        golden.reads_as(&record);
        golden.bends_as_ever::<Record>();
    }
}
