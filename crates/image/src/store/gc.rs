//! Garbage: blobs and layers that no name, no image in use and no live session needs.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::images::RegisterError;
use super::{Lock, Store, StoreError};
use crate::digest::Digest;

/// What was taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Images that had no name and were not in use.
    pub images: Vec<Digest>,
    pub blobs: usize,
    pub layers: usize,
    /// Bytes of blobs and of files in layers.
    pub bytes: u64,
}

impl Store {
    /// Takes garbage out. `in_use` are ids of images that stay though nothing names them.
    pub fn gc(&self, in_use: &[Digest]) -> Result<Collected, RegisterError> {
        // What has not settled yet is pinned.
        self.settle()?;
        let session = self.with_reserve(|| self.session())?;
        let lock = self.lock(Lock::Exclusive)?;
        self.clear_dead_sessions(&lock)?;
        let mut collected = Collected::default();
        self.rename(|names| {
            let garbage = |id: &Digest| !in_use.contains(id);
            let unnamed = names.0.extract_if(.., |named| named.name.is_none() && garbage(&named.id));
            collected.images.extend(unnamed.map(|named| named.id));
        })?;
        let needed = self.needed()?;
        for (digest, path) in contents(&self.root.join("blobs/sha256"))? {
            if !needed.contains(&digest) {
                collected.bytes += fs::metadata(&path).map_or(0, |meta| meta.len());
                collected.blobs += 1;
                self.with_reserve(|| session.discard(&path))?;
            }
        }
        for (digest, path) in contents(&self.root.join("layers"))? {
            if !needed.contains(&digest) {
                collected.bytes += self.layer_record(digest)?.map_or(0, |record| record.bytes);
                collected.layers += 1;
                self.with_reserve(|| session.discard(&path))?;
            }
        }
        // The session deletes what was moved into it, after the lock is released.
        drop(lock);
        drop(session);
        self.refill();
        Ok(collected)
    }

    fn needed(&self) -> Result<HashSet<Digest>, RegisterError> {
        let mut needed = HashSet::new();
        // Before names and records: a session that ends meanwhile has left there what it made.
        for session in self.sessions()?.into_iter().chain(self.unsettled()?) {
            needed.extend(session.pins("made"));
            needed.extend(session.pins("uses"));
        }
        needed.extend(self.build_layers());
        for named in self.names()?.0 {
            let documents = self.documents(named.manifest.digest, named.id)?;
            needed.extend([named.manifest.digest, named.id]);
            needed.extend(documents.manifest.layers.iter().map(|layer| layer.digest));
            needed.extend(self.stack(&documents.diff_ids)?.into_iter().flatten());
        }
        Ok(needed)
    }
}

/// What is stored in `folder`, by digest.
pub(super) fn contents(folder: &Path) -> Result<Vec<(Digest, PathBuf)>, StoreError> {
    let mut contents = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io("listing", folder))? {
        let path = entry.map_err(StoreError::io("listing", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(Ok(digest)) = name.map(Digest::from_hex) {
            contents.push((digest, path));
        }
    }
    contents.sort();
    Ok(contents)
}
