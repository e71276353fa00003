//! What earlier builds left for later ones: lists it, and forgets what it is told to.
//!
//! Which of it goes is not decided here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{mounts, read};
use crate::digest::Digest;
use crate::store::{RegisterError, Store, StoreError, disk_bytes};

/// Something that earlier builds left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub content: Content,
    /// Bytes of the layer's files, or of the folder on the disk.
    pub bytes: u64,
    /// When a build last had use of it, in seconds since 1970.
    pub used: u64,
    /// Images that have the layer too: while one of them stays, forgetting it frees nothing.
    pub images: Vec<Digest>,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// What steps left: the keys of their records, and the layer that all of them name. Records without a layer, of
    /// steps that changed no file, stand alone.
    Steps { keys: Vec<Digest>, layer: Option<Digest> },
    /// A cache mount's folder.
    Mount(PathBuf),
}

impl Kept {
    pub fn is_mount(&self) -> bool {
        matches!(self.content, Content::Mount(_))
    }
}

impl Store {
    /// The layers that records name: they are no garbage while the records last.
    pub(crate) fn build_layers(&self) -> Vec<Digest> {
        self.records().into_iter().filter_map(|(_, layer, _)| layer).collect()
    }

    /// All that earlier builds left.
    pub fn builds(&self) -> Result<Vec<Kept>, RegisterError> {
        let mut kept = self.kept_steps()?;
        kept.extend(self.kept_mounts());
        Ok(kept)
    }

    fn kept_steps(&self) -> Result<Vec<Kept>, RegisterError> {
        let mut by_layer: BTreeMap<Digest, Kept> = BTreeMap::new();
        let mut kept = Vec::new();
        let images = self.layers_of_images()?;
        for (key, layer, used) in self.records() {
            let new = || Kept {
                content: Content::Steps { keys: Vec::new(), layer },
                bytes: 0,
                used,
                images: Vec::new(),
            };
            let Some(layer) = layer else {
                kept.push(Kept { content: Content::Steps { keys: vec![key], layer: None }, ..new() });
                continue;
            };
            let one = by_layer.entry(layer).or_insert_with(new);
            one.used = one.used.max(used);
            if let Content::Steps { keys, .. } = &mut one.content {
                keys.push(key);
            }
        }
        for (layer, one) in &mut by_layer {
            one.bytes = self.layer_size(*layer)?.unwrap_or(0);
            let having = images.iter().filter(|(_, layers)| layers.contains(layer));
            one.images = having.map(|(id, _)| *id).collect();
        }
        kept.extend(by_layer.into_values());
        Ok(kept)
    }

    fn kept_mounts(&self) -> Vec<Kept> {
        let folders = fs::read_dir(self.builds_folder().join("mounts")).into_iter().flatten().flatten();
        let folders = folders.map(|entry| entry.path()).filter(|path| path.is_dir());
        let mount = |folder: PathBuf| Kept {
            bytes: disk_bytes(&folder),
            used: modified(&mounts::lock_file(&folder)),
            content: Content::Mount(folder),
            images: Vec::new(),
        };
        folders.map(mount).collect()
    }

    /// Each record's key, the layer it names, and when it was last of use.
    fn records(&self) -> Vec<(Digest, Option<Digest>, u64)> {
        let entries = fs::read_dir(self.builds_folder().join("steps")).into_iter().flatten().flatten();
        let record = |path: PathBuf| {
            let key = Digest::from_hex(path.file_name()?.to_str()?).ok()?;
            Some((key, read(&path)?.layer, modified(&path)))
        };
        entries.filter_map(|entry| record(entry.path())).collect()
    }

    /// Forgets these; bytes that came free with cache mounts. Layers go with the next [`Store::gc`], and a cache mount
    /// that is in use stays.
    pub fn forget_builds(&self, going: &[Kept]) -> Result<u64, StoreError> {
        let mut folders = Vec::new();
        for kept in going {
            match &kept.content {
                Content::Steps { keys, layer } => {
                    for key in keys {
                        forget(&self.builds_folder().join("steps").join(key.hex()))?;
                    }
                    if let Some(layer) = layer {
                        forget(&self.builds_folder().join("packed").join(layer.hex()))?;
                    }
                }
                Content::Mount(folder) => folders.push((folder, kept.bytes)),
            }
        }
        if folders.is_empty() {
            return Ok(0);
        }
        let (session, mut freed) = (self.with_reserve(|| self.session())?, 0);
        for (folder, bytes) in folders {
            if mounts::discard_unused(&session, folder)? {
                freed += bytes;
            }
        }
        Ok(freed)
    }
}

fn forget(record: &Path) -> Result<(), StoreError> {
    match fs::remove_file(record) {
        // Somebody else did it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(StoreError::io("removing", record)),
    }
}

/// Seconds since 1970; 0 where it can't be told.
fn modified(path: &Path) -> u64 {
    let time = fs::metadata(path).and_then(|meta| meta.modified()).ok();
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |time| time.as_secs())
}
