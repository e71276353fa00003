//! A cache in a folder of whoever asks for the build: an OCI image layout, one manifest for each tag.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::json;

use super::document::choose;
use super::{CACHE_CONFIG, CacheError, CacheSource, CacheTarget, LARGEST, TakeBlob};
use crate::builder::context::Folder;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Index, Manifest, OCI_INDEX, OCI_MANIFEST, REF_NAME};
use crate::platform::Platform;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// A folder that can be written to as well.
pub trait Shelf: Folder {
    /// Puts a file in place, whole or not at all; folders on the way are made.
    fn put(&self, path: &str, content: &mut dyn Read) -> io::Result<()>;
}

/// A cache in a folder.
pub struct FolderCache<F> {
    folder: F,
    /// As the person has it.
    path: String,
    tag: String,
    digest: Option<Digest>,
    /// What the folder has in `blobs/sha256`, with sizes; listed once.
    there: Mutex<Option<HashMap<String, u64>>>,
}

impl<F> std::fmt::Debug for FolderCache<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FolderCache")
            .field("path", &self.path)
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

impl<F: Folder> FolderCache<F> {
    /// The cache with this tag, or with this digest where there is one.
    pub fn new(folder: F, path: String, tag: String, digest: Option<Digest>) -> Self {
        Self { folder, path, tag, digest, there: Mutex::new(None) }
    }

    fn small(&self, path: &str) -> Result<Option<Vec<u8>>, CacheError> {
        let mut bytes = Vec::new();
        let read = self.folder.read(&[PathBuf::from(path)], &mut |_, content| {
            content.take(LARGEST + 1).read_to_end(&mut bytes).map(drop)
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CacheError::Io("reading", error)),
            Ok(()) if bytes.len() as u64 > LARGEST => Err(CacheError::TooLong(path.to_owned())),
            Ok(()) => Ok(Some(bytes)),
        }
    }

    fn document(&self, digest: Digest) -> Result<Vec<u8>, CacheError> {
        let bytes = self.small(&blob_path(digest))?.ok_or(CacheError::Missing(digest))?;
        let found = Digest::of(&bytes);
        if found == digest { Ok(bytes) } else { Err(CacheError::Digest { wanted: digest, found }) }
    }

    fn index(&self) -> Result<Option<Index>, CacheError> {
        let bytes = self.small("index.json")?;
        bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(CacheError::Records)).transpose()
    }

    fn is_mine(&self, entry: &Descriptor) -> bool {
        match self.digest {
            Some(digest) => entry.digest == digest,
            None => entry.annotations.get(REF_NAME) == Some(&self.tag),
        }
    }
}

impl<F: Folder> CacheSource for FolderCache<F> {
    fn name(&self) -> String {
        self.path.clone()
    }

    fn documents(&self) -> Result<(Vec<u8>, Vec<u8>), CacheError> {
        let index = self.index()?.ok_or(CacheError::Absent)?;
        let entry = index.manifests.iter().find(|entry| self.is_mine(entry)).ok_or(CacheError::Absent)?;
        let mut bytes = self.document(entry.digest)?;
        if let Some(inner) = choose(&bytes, &Platform::host())? {
            bytes = self.document(inner.digest)?;
            if choose(&bytes, &Platform::host())?.is_some() {
                return Err(CacheError::Foreign("an index of indexes".to_owned()));
            }
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(CacheError::Records)?;
        let config = self.document(manifest.config.digest)?;
        Ok((bytes, config))
    }

    fn blob(&self, blob: &Descriptor, take: &mut TakeBlob<'_>) -> Result<(), CacheError> {
        let mut taken = Ok(());
        let read = self.folder.read(&[PathBuf::from(blob_path(blob.digest))], &mut |_, content| {
            taken = take(content);
            Ok(())
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(CacheError::Missing(blob.digest)),
            Err(error) => Err(CacheError::Io("reading", error)),
            Ok(()) => taken,
        }
    }
}

impl<F: Shelf> FolderCache<F> {
    fn put(&self, path: &str, mut content: impl Read) -> Result<(), CacheError> {
        self.folder.put(path, &mut content).map_err(|error| CacheError::Io("writing", error))
    }
}

impl<F: Shelf> CacheTarget for FolderCache<F> {
    fn name(&self) -> String {
        self.path.clone()
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, CacheError> {
        let mut there = self.there.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if there.is_none() {
            let listed = match self.folder.list(&[PathBuf::from("blobs/sha256")]) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                listed => listed.map_err(|error| CacheError::Io("listing", error))?,
            };
            let entries = listed.into_iter().flatten();
            let sizes = entries.map(|entry| (entry.name.to_string_lossy().into_owned(), entry.size));
            *there = Some(sizes.collect());
        }
        Ok(there.as_ref().is_some_and(|sizes| sizes.get(&blob.digest.hex()) == Some(&blob.size)))
    }

    fn blob(&self, blob: &Descriptor, mut content: &File) -> Result<(), CacheError> {
        io::Seek::rewind(&mut content).map_err(|error| CacheError::Io("reading", error))?;
        self.put(&blob_path(blob.digest), content)
    }

    fn finish(&self, manifest: &[u8]) -> Result<(), CacheError> {
        // What cannot be read here is no layout; nothing of it is overwritten.
        let mut index = self.index()?.unwrap_or_default();
        let digest = Digest::of(manifest);
        self.put(&blob_path(digest), manifest)?;
        index.manifests.retain(|entry| entry.annotations.get(REF_NAME) != Some(&self.tag));
        let mut entry = Descriptor::new(OCI_MANIFEST, digest, manifest.len() as u64);
        entry.annotations.insert(REF_NAME.to_owned(), self.tag.clone());
        index.manifests.push(entry);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "artifactType": CACHE_CONFIG,
            "manifests": index.manifests,
        });
        self.put("oci-layout", LAYOUT)?;
        self.put("index.json", index.to_string().as_bytes())
    }
}

fn blob_path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
