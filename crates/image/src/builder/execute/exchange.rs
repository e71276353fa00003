//! What steps have to do with caches elsewhere: records and layers that come from there, and those that go there.

use std::sync::PoisonError;

use super::snapshot::Snapshot;
use super::{BuildError, BuildEvent, StepError, Work};
use crate::builder::cache::Record;
use crate::builder::exchange::{CacheError, Entry, Export, Packing};
use crate::builder::graph::{StepId, Tree};
use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::parallel;

/// Layers that are fetched at once.
const AT_ONCE: usize = 4;

impl Work<'_> {
    /// What an earlier build left under the key, here or elsewhere.
    pub(super) fn known(&self, key: Digest) -> Result<Option<Record>, StepError> {
        if let Some(record) = self.cache.look(key)? {
            return Ok(Some(record));
        }
        let Some(record) = self.imports.look(key) else { return Ok(None) };
        self.note(key, record)?;
        Ok(Some(record))
    }

    /// Keeps a record, at once or when its layer is here.
    pub(super) fn note(&self, key: Digest, record: Record) -> Result<(), StepError> {
        if self.is_here(record.layer)? {
            self.cache.keep(key, &record);
        } else {
            self.imports.hit(key, record);
        }
        Ok(())
    }

    fn is_here(&self, layer: Option<Digest>) -> Result<bool, StepError> {
        let Some(layer) = layer else { return Ok(true) };
        Ok(self.session.has_layer(layer)? && self.session.has_blob(layer)?)
    }

    /// Fetches those layers of a chain that so far are known only by a record from elsewhere.
    pub(super) fn bring(&self, chain: &[Digest]) -> Result<(), StepError> {
        if self.build.caches.from.is_empty() {
            return Ok(());
        }
        let mut missing = Vec::new();
        for layer in chain.iter().filter(|layer| self.imports.is_awaited(**layer)) {
            if !self.is_here(Some(*layer))? && !missing.contains(layer) {
                missing.push(*layer);
            }
        }
        // All that no cache has at once, so that the build begins anew once.
        if let Some(layer) = self.imports.lose_nowhere(&missing) {
            return Err(StepError::Lost(layer));
        }
        parallel::for_each(missing, AT_ONCE, |layer| {
            self.imports.fetch(self.build.store, self.session, &self.cache, layer)
        })
    }

    /// Tells what came of a step, once. One that was done before the build began anew does not count as cached.
    pub(super) fn tell(&self, id: StepId, mut snapshot: Snapshot) -> Snapshot {
        let later = snapshot.cached && self.is_told_later(&snapshot);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.get(&id.0).copied();
        match (before, snapshot.cached) {
            (Some(true), _) => snapshot.cached = false,
            (Some(false), true) => {}
            (_, true) if later => {}
            (_, cached) => {
                told.insert(id.0, !cached);
                let event = if cached { BuildEvent::Cached(id) } else { BuildEvent::Done(id) };
                self.build.progress.event(event);
            }
        }
        snapshot
    }

    /// Whether something came of the step before the build began anew.
    pub(super) fn is_told(&self, id: StepId) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id.0)
    }

    /// Whether it is too early to call the step cached: its layer is nowhere, and it may yet have to be done.
    pub(super) fn is_told_later(&self, snapshot: &Snapshot) -> bool {
        let nowhere = |layer| self.imports.descriptor(layer).is_none();
        snapshot.layer.is_some_and(|layer| !self.is_here(Some(layer)).unwrap_or(true) && nowhere(layer))
    }

    /// The records of all steps, in their order.
    pub(super) fn entries(&self, snapshots: &[Snapshot]) -> Vec<Entry> {
        let entry = |snapshot: &Snapshot| Entry {
            keys: snapshot.keys.clone(),
            layer: snapshot.layer,
            created: snapshot.created,
        };
        snapshots.iter().map(entry).collect()
    }

    /// Writes the caches that are wanted. One that can't be written is told; the image is there.
    pub(super) fn export(&self, snapshots: &[Snapshot]) -> Result<(), BuildError> {
        for (at, snapshot) in snapshots.iter().enumerate() {
            if snapshot.cached && self.is_told_later(snapshot) {
                self.build.progress.event(BuildEvent::Cached(StepId(at)));
            }
        }
        for export in &self.build.caches.to {
            if self.is_cancelled() {
                return Err(BuildError::Cancelled);
            }
            self.build.progress.event(BuildEvent::Exporting(&export.target.name()));
            match self.write(export, snapshots) {
                Ok(()) => {}
                Err(error) if export.required => return Err(BuildError::Cache(export.failure(&error))),
                Err(error) => self.imports.warn(&format!("{}; the image is built", export.failure(&error))),
            }
        }
        Ok(())
    }

    fn write(&self, export: &Export, snapshots: &[Snapshot]) -> Result<(), CacheError> {
        let of_image = match &self.graph.target {
            Tree::Step(id) => snapshots[id.0].chain.clone(),
            Tree::Empty | Tree::Image(_) | Tree::Context(_) => Vec::new(),
        };
        let mut layers: Vec<(Digest, Option<Descriptor>)> = Vec::new();
        for layer in snapshots.iter().filter_map(|snapshot| snapshot.layer) {
            let wanted = export.all || of_image.contains(&layer);
            if wanted && !layers.iter().any(|(known, _)| *known == layer) {
                layers.push((layer, self.imports.known_as(layer).cloned()));
            }
        }
        let (store, session) = (self.build.store, self.session);
        let packing = Packing { store, session, cache: &self.cache, progress: self };
        let fetch = |layer| {
            let here = self.is_here(Some(layer)).unwrap_or(false);
            here || self.imports.fetch(self.build.store, self.session, &self.cache, layer).is_ok()
        };
        packing.write(export, &self.entries(snapshots), &layers, &fetch)
    }
}
