//! Who takes how much room.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Store;
use super::gc::contents;
use super::images::RegisterError;
use crate::digest::Digest;

/// Bytes the store takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Compressed layers, manifests, configurations.
    pub blobs: u64,
    /// Files of unpacked layers.
    pub layers: u64,
    pub images: Vec<ImageUsage>,
}

/// Bytes of files in one image's layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUsage {
    pub id: Digest,
    /// In layers that other images have too.
    pub shared: u64,
    /// In layers that go with the image, unless earlier builds left them for later ones ([`Store::builds`]).
    pub unique: u64,
}

impl Store {
    /// Accounts for every byte, without walking trees.
    pub fn usage(&self) -> Result<Usage, RegisterError> {
        let mut usage = Usage::default();
        for (_, path) in contents(&self.root.join("blobs/sha256"))? {
            usage.blobs += fs::metadata(&path).map_or(0, |meta| meta.len());
        }
        let mut layers = HashMap::new();
        for (layer, _) in contents(&self.root.join("layers"))? {
            let bytes = self.layer_record(layer)?.map_or(0, |record| record.bytes);
            usage.layers += bytes;
            layers.insert(layer, bytes);
        }
        let images = self.layers_of_images()?;
        let users = |layer| images.iter().filter(|(_, layers)| layers.contains(layer)).count();
        usage.images.extend(images.iter().map(|(id, used)| {
            let (shared, unique): (Vec<_>, Vec<_>) = used.iter().partition(|layer| users(layer) > 1);
            let sum = |list: Vec<&Digest>| list.iter().filter_map(|layer| layers.get(layer)).sum();
            ImageUsage { id: *id, shared: sum(shared), unique: sum(unique) }
        }));
        Ok(usage)
    }
    /// Each image once, with its layers, each once.
    pub(crate) fn layers_of_images(&self) -> Result<Vec<(Digest, Vec<Digest>)>, RegisterError> {
        let mut images: Vec<(Digest, Vec<Digest>)> = Vec::new();
        for named in self.names()?.0 {
            if !images.iter().any(|&(known, _)| known == named.id) {
                let mut diff_ids = self.documents(named.manifest.digest, named.id)?.diff_ids;
                diff_ids.sort();
                diff_ids.dedup();
                images.push((named.id, diff_ids));
            }
        }
        Ok(images)
    }
}

/// Bytes on the disk below a path, on its own file system; what goes meanwhile counts nothing.
pub fn disk_bytes(path: &Path) -> u64 {
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
