//! Unpacked layers: `layers/<diff id>/fs`, and what is known of each in `layer.json`.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::session::Session;
use super::{BlobError, Lock, Store, StoreError};
use crate::cancel::Cancellable;
use crate::digest::Digest;
use crate::layer::{UnpackError, unpack};
use crate::parallel;
use crate::progress::{Event, Progress};

/// Why a layer is not in the store.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("layer {layer} can't be read")]
    Blob { layer: Digest, source: BlobError },
    #[error("layer {layer}")]
    Unpack { layer: Digest, source: UnpackError },
}

/// What is known of an unpacked layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LayerRecord {
    /// Bytes of file content.
    pub(super) bytes: u64,
    pub(super) entries: u64,
    /// Directories that no entry described; see `implied`.
    pub(super) implied: Vec<String>,
}

impl Store {
    /// The tree of a layer, for overlayfs to stack.
    pub(crate) fn tree(&self, layer: Digest) -> PathBuf {
        self.layer_path(layer).join("fs")
    }

    /// Bytes of files in a layer; `None` if it isn't there.
    pub fn layer_size(&self, diff_id: Digest) -> Result<Option<u64>, StoreError> {
        Ok(self.layer_record(diff_id)?.map(|record| record.bytes))
    }

    /// The record of a layer; `None` if it isn't there.
    pub(super) fn layer_record(&self, layer: Digest) -> Result<Option<LayerRecord>, StoreError> {
        let path = self.layer_path(layer).join("layer.json");
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::io("reading", &path)(source)),
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(record) => Ok(Some(record)),
                Err(source) => Err(StoreError::Damaged { path, source }),
            },
        }
    }
}

impl Session<'_> {
    /// Whether the layer is unpacked; it stays so while the session lives.
    pub(crate) fn has_layer(&self, diff_id: Digest) -> Result<bool, StoreError> {
        let _lock = self.store.lock(Lock::Shared)?;
        if !self.store.layer_path(diff_id).exists() {
            return Ok(false);
        }
        self.pin(diff_id).map(|()| true)
    }

    /// Unpacks the layer that `input` holds, compressed or not, and puts it in place. Ends with an error when `progress`
    /// says that it is cancelled.
    pub(crate) fn unpack(
        &self,
        diff_id: Digest,
        input: impl Read + Send,
        progress: &dyn Progress,
    ) -> Result<(), LayerError> {
        progress.event(Event::Unpacking { layer: diff_id });
        let made = self.fresh_directory()?;
        let tree = made.join("fs");
        fs::create_dir(&tree).map_err(StoreError::io("making", &tree))?;
        let unpacked = unpack(Cancellable::new(input, progress), &tree, Some(diff_id));
        let unpacked = unpacked.map_err(|source| LayerError::Unpack { layer: diff_id, source })?;
        let (bytes, entries, implied) = (unpacked.bytes, unpacked.entries, unpacked.implied);
        self.keep_layer(diff_id, &made, &LayerRecord { bytes, entries, implied })?;
        progress.event(Event::Unpacked { layer: diff_id, bytes });
        Ok(())
    }

    /// Puts the layer made at `made` in place, unless another process was faster.
    pub(super) fn keep_layer(&self, id: Digest, made: &Path, record: &LayerRecord) -> Result<(), StoreError> {
        let path = made.join("layer.json");
        let json = serde_json::to_vec(record).map_err(io::Error::other);
        json.and_then(|json| fs::write(&path, json)).map_err(StoreError::io("writing", &path))?;
        let _lock = self.store.lock(Lock::Shared)?;
        let place = self.store.layer_path(id);
        if place.exists() { self.pin(id) } else { self.put(id, made, &place) }
    }

    /// Unpacks those layers that aren't there yet, from blobs in the store, several at once.
    pub(crate) fn unpack_missing(
        &self,
        layers: &[(Digest, Digest)],
        progress: &dyn Progress,
    ) -> Result<(), LayerError> {
        let mut missing = Vec::new();
        for &(diff_id, blob) in layers {
            if missing.iter().any(|&(known, _)| known == diff_id) {
                continue;
            }
            if self.has_layer(diff_id)? {
                progress.event(Event::Present { digest: diff_id });
            } else {
                missing.push((diff_id, blob));
            }
        }
        parallel::for_each(missing, parallel::processors(), |(layer, blob)| {
            let input = self.store.blob(blob).map_err(|source| LayerError::Blob { layer, source })?;
            self.unpack(layer, input, progress)
        })
    }
}

#[cfg(test)]
mod tests {
    use hoist_goldens::Golden;

    use super::*;

    #[test]
    fn records_of_former_releases_are_read_and_come_to_the_same_values() {
        let record = LayerRecord { bytes: 1 << 20, entries: 12, implied: vec!["usr/share".to_owned()] };
        let golden = Golden::new(env!("CARGO_MANIFEST_DIR"), "v1/layer.json");
        golden.is_written_for(&record);
        golden.reads_as(&record);
        golden.bends_as_ever::<LayerRecord>();
    }
}
