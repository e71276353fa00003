//! Records of other builds, and their layers, fetched when a step needs them and not before.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::sync::{Mutex, OnceLock, PoisonError};

use hoist_model::chain;

use super::{CacheDocument, CacheError, CacheSource};
use crate::builder::cache::{Cache, Record};
use crate::builder::execute::{BuildEvent, BuildProgress, StepError};
use crate::cancel::Cancellable;
use crate::digest::Digest;
use crate::layer::decoder;
use crate::manifest::Descriptor;
use crate::progress::{Event, Progress};
use crate::store::{Session, Store};

/// The caches that a build reads.
pub(in crate::builder) struct Imports<'a> {
    sources: &'a [Box<dyn CacheSource>],
    progress: &'a dyn BuildProgress,
    /// Read once a step asks, by their place among the sources; those that can't be read are left out.
    found: OnceLock<Vec<(usize, CacheDocument)>>,
    /// Records that were of use, by the layer that is not here yet.
    hits: Mutex<HashMap<Digest, Vec<(Digest, Record)>>>,
    /// Layers that can't be had: records that name them count for nothing.
    lost: Mutex<HashSet<Digest>>,
}

impl<'a> Imports<'a> {
    pub(in crate::builder) fn new(
        sources: &'a [Box<dyn CacheSource>],
        progress: &'a dyn BuildProgress,
    ) -> Self {
        let (hits, lost) = Default::default();
        Self { sources, progress, found: OnceLock::new(), hits, lost }
    }

    fn found(&self) -> &[(usize, CacheDocument)] {
        self.found.get_or_init(|| {
            let sources = self.sources.iter().map(|source| &**source).enumerate();
            sources.filter_map(|(at, source)| Some((at, self.read(source)?))).collect()
        })
    }

    fn read(&self, source: &dyn CacheSource) -> Option<CacheDocument> {
        let read = source.documents().and_then(|(manifest, config)| CacheDocument::parse(&manifest, &config));
        match read {
            Ok(found) => Some(found),
            Err(error) => {
                let what = format!("the cache {} can't be read", source.name());
                self.warn(&format!("{what}: {}; going on without it", chain(&error)));
                None
            }
        }
    }

    pub(in crate::builder) fn warn(&self, text: &str) {
        self.progress.event(BuildEvent::Warning(text));
    }

    /// What a step with this key left elsewhere. Its layer may have to be fetched, and may then turn out lost.
    pub(in crate::builder) fn look(&self, key: Digest) -> Option<Record> {
        if self.sources.is_empty() {
            return None;
        }
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = |record: &&Record| record.layer.is_none_or(|layer| !lost.contains(&layer));
        let records = || self.found().iter().filter_map(|(_, found)| found.records.get(&key)).filter(counts);
        // One whose layer is there goes before one that only names it.
        let whole = |record: &&Record| record.layer.is_none_or(|layer| self.descriptor(layer).is_some());
        records().find(whole).or_else(|| records().next()).copied()
    }

    /// How the first cache that has the layer has it.
    pub(in crate::builder) fn descriptor(&self, layer: Digest) -> Option<&Descriptor> {
        self.found().iter().find_map(|(_, found)| found.layers.get(&layer))
    }

    /// The same, as far as caches were read at all: for a build that needed none.
    pub(in crate::builder) fn known_as(&self, layer: Digest) -> Option<&Descriptor> {
        self.found.get()?.iter().find_map(|(_, found)| found.layers.get(&layer))
    }

    /// Notes that a record is of use, for when its layer is here.
    pub(in crate::builder) fn hit(&self, key: Digest, record: Record) {
        let Some(layer) = record.layer else { return };
        let mut hits = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
        hits.entry(layer).or_default().push((key, record));
    }

    /// Whether a step goes by the layer because a record from elsewhere names it.
    pub(in crate::builder) fn is_awaited(&self, layer: Digest) -> bool {
        self.hits.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&layer)
    }

    /// Gives those layers up that no cache has; the first of them.
    pub(in crate::builder) fn lose_nowhere(&self, layers: &[Digest]) -> Option<Digest> {
        let nowhere: Vec<Digest> =
            layers.iter().copied().filter(|layer| self.descriptor(*layer).is_none()).collect();
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).extend(&nowhere);
        nowhere.first().copied()
    }

    /// Brings a layer into the store. One that no cache can give is lost, and the build has to do without.
    pub(in crate::builder) fn fetch(
        &self,
        store: &Store,
        session: &Session<'_>,
        cache: &Cache<'_>,
        layer: Digest,
    ) -> Result<(), StepError> {
        let lock =
            store.step_locks.take(layer, || self.progress.is_cancelled()).ok_or(StepError::Cancelled)?;
        if session.has_layer(layer)? && session.has_blob(layer)? {
            return Ok(());
        }
        let having = |(at, found): &'_ (usize, CacheDocument)| Some((*at, found.layers.get(&layer)?.clone()));
        for (at, blob) in self.found().iter().filter_map(having) {
            let source = &*self.sources[at];
            match self.bring(store, session, source, &blob, layer) {
                Ok(()) => {
                    let hits = self.hits.lock().unwrap_or_else(PoisonError::into_inner).remove(&layer);
                    hits.into_iter().flatten().for_each(|(key, record)| cache.keep(key, &record));
                    return Ok(());
                }
                Err(CacheError::Store(error)) => return Err(error.into()),
                Err(_) if self.progress.is_cancelled() => return Err(StepError::Cancelled),
                Err(error) => {
                    let what = format!("the cache {} can't give layer {layer}", source.name());
                    self.warn(&format!("{what}: {}; what made it is done again", chain(&error)));
                }
            }
        }
        drop(lock);
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(layer);
        Err(StepError::Lost(layer))
    }

    /// A layer's blob, checked as it comes, kept as steps keep theirs: uncompressed.
    fn bring(
        &self,
        store: &Store,
        session: &Session<'_>,
        source: &dyn CacheSource,
        blob: &Descriptor,
        layer: Digest,
    ) -> Result<(), CacheError> {
        let mut raw = session.blob_writer()?;
        source.blob(blob, &mut |content| {
            // Never more than it says.
            let copied = io::copy(&mut content.take(blob.size), &mut Cancellable::new(&mut raw, self));
            copied.map(drop).map_err(|error| CacheError::Io("reading", error))
        })?;
        let raw = raw.finish();
        if raw.digest != blob.digest {
            return Err(CacheError::Digest { wanted: blob.digest, found: raw.digest });
        }
        let failed = |error| CacheError::Io("unpacking", error);
        let mut writer = session.blob_writer()?;
        let mut plain = File::open(&raw.path).and_then(decoder).map_err(failed)?;
        io::copy(&mut plain, &mut Cancellable::new(&mut writer, self)).map_err(failed)?;
        // It would go with the session; until then others may need the room.
        let _ = fs::remove_file(&raw.path);
        let spooled = writer.finish();
        if spooled.digest != layer {
            return Err(CacheError::Digest { wanted: layer, found: spooled.digest });
        }
        session.keep(&spooled)?;
        if !session.has_layer(layer)? {
            session.unpack(layer, store.blob(layer)?, self)?;
        }
        Ok(())
    }
}

/// What a fetched layer costs is told by the step that needs it; cancelling reaches it all the same.
impl Progress for Imports<'_> {
    fn event(&self, _: Event) {}

    fn is_cancelled(&self) -> bool {
        self.progress.is_cancelled()
    }
}
