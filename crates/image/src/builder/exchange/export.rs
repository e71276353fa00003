//! Leaves records and layers for other builds.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write};

use flate2::{Compression as Level, GzBuilder};
use hoist_model::chain;

use super::document::{self, CACHE_CONFIG, Entry};
use super::{CacheError, Export};
use crate::builder::cache::Cache;
use crate::cancel::Cancellable;
use crate::digest::Digest;
use crate::layer::Compression;
use crate::manifest::{Descriptor, layer_media_type};
use crate::parallel;
use crate::progress::Progress;
use crate::store::{BlobWriter, Session, Spooled, Store};

/// The level that pushed images have: a cache and an image then share their blobs.
const GZIP: u32 = 6;
const ZSTD: i32 = 3;
/// Layers that are written at once.
const AT_ONCE: usize = 3;

/// Layers on their way into caches. What one cache had compressed, the next takes over.
pub(in crate::builder) struct Packing<'a> {
    pub(in crate::builder) store: &'a Store,
    pub(in crate::builder) session: &'a Session<'a>,
    pub(in crate::builder) cache: &'a Cache<'a>,
    /// Whom to ask whether to go on.
    pub(in crate::builder) progress: &'a dyn Progress,
}

impl Packing<'_> {
    /// Writes a cache of these records and, of their layers, these. `fetch` brings one here that is not.
    pub(in crate::builder) fn write(
        &self,
        export: &Export,
        entries: &[Entry],
        layers: &[(Digest, Option<Descriptor>)],
        fetch: &(dyn Fn(Digest) -> bool + Sync),
    ) -> Result<(), CacheError> {
        let written = std::sync::Mutex::new(HashMap::new());
        parallel::for_each(layers.to_vec(), AT_ONCE, |(layer, known)| {
            let blob = self.layer(export, layer, known.as_ref(), fetch)?;
            if let Ok(mut written) = written.lock() {
                written.insert(layer, blob);
            }
            Ok::<_, CacheError>(())
        })?;
        let written = written.into_inner().unwrap_or_default();
        // One that can't be had any more is named by its records alone.
        let (mut diff_ids, mut blobs) = (Vec::new(), Vec::new());
        for (layer, _) in layers {
            if let Some(Some(blob)) = written.get(layer) {
                diff_ids.push(*layer);
                blobs.push(blob.clone());
            }
        }
        let config = document::config(entries, &diff_ids);
        let config = serde_json::to_vec(&config).map_err(CacheError::Records)?;
        let described = Descriptor::new(CACHE_CONFIG, Digest::of(&config), config.len() as u64);
        let manifest = document::manifest(&described, &blobs);
        if !export.target.has(&described)? {
            let spooled = self.spool(|writer| writer.write_all(&config))?;
            self.send(export, &described, &spooled)?;
        }
        export.target.finish(&manifest)
    }

    /// A layer's blob at the target; none if it can't be had.
    fn layer(
        &self,
        export: &Export,
        layer: Digest,
        known: Option<&Descriptor>,
        fetch: &(dyn Fn(Digest) -> bool + Sync),
    ) -> Result<Option<Descriptor>, CacheError> {
        let kind = layer_media_type(export.compression);
        let packed = self.cache.packed(layer, &kind);
        for blob in known.filter(|blob| blob.media_type == kind).into_iter().chain(&packed) {
            if export.target.has(blob)? {
                let mut blob = blob.clone();
                blob.annotations = BTreeMap::new();
                return Ok(Some(blob));
            }
        }
        if !fetch(layer) {
            return Ok(None);
        }
        if export.compression == Compression::None {
            let file = self.store.blob(layer)?;
            let size = file.metadata().map_err(|error| CacheError::Io("reading a layer", error))?.len();
            let blob = Descriptor::new(&kind, layer, size);
            if !export.target.has(&blob)? {
                export.target.blob(&blob, &file)?;
            }
            return Ok(Some(blob));
        }
        let spooled = self.compressed(layer, export.compression)?;
        let blob = Descriptor::new(&kind, spooled.digest, spooled.size);
        self.cache.keep_packed(layer, &blob);
        if !export.target.has(&blob)? {
            self.send(export, &blob, &spooled)?;
        }
        Ok(Some(blob))
    }

    fn send(&self, export: &Export, blob: &Descriptor, spooled: &Spooled) -> Result<(), CacheError> {
        let file = File::open(&spooled.path).map_err(|error| CacheError::Io("reading a layer", error))?;
        let sent = export.target.blob(blob, &file);
        // It would go with the session; until then others may need the room.
        let _ = std::fs::remove_file(&spooled.path);
        sent
    }

    /// The layer compressed, always to the same bytes.
    fn compressed(&self, layer: Digest, compression: Compression) -> Result<Spooled, CacheError> {
        let mut from = self.store.blob(layer)?;
        let packed = self.spool(|writer| match compression {
            Compression::Zstd => zstd::stream::copy_encode(&mut from, writer, ZSTD),
            _ => {
                let mut gzip = GzBuilder::new().mtime(0).write(writer, Level::new(GZIP));
                io::copy(&mut from, &mut gzip)?;
                gzip.finish().map(drop)
            }
        });
        packed.map_err(|error| match error {
            CacheError::Io(_, source) => CacheError::Compress { layer, source },
            other => other,
        })
    }

    fn spool(
        &self,
        write: impl FnOnce(&mut Cancellable<'_, &mut BlobWriter>) -> io::Result<()>,
    ) -> Result<Spooled, CacheError> {
        let mut writer = self.session.blob_writer()?;
        let written = write(&mut Cancellable::new(&mut writer, self.progress)).and_then(|()| writer.flush());
        written.map_err(|error| CacheError::Io("writing", error))?;
        Ok(writer.finish())
    }
}

impl Export {
    /// What is said when it could not be written.
    pub(in crate::builder) fn failure(&self, error: &CacheError) -> String {
        format!("the cache {} can't be written: {}", self.target.name(), chain(error))
    }
}
