//! What the orchestrator keeps, as keys and values: stacks, specs, endpoints, the record, and who leads.
//!
//! A document that is larger than a value may be is cut into parts under digest-named keys that are written before
//! the document and removed after it: a crash in between leaves parts that nothing names, and [`load`] removes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use hoist_model::{Generation, HostId, StackId};
use hoist_planner::cluster::{Pool, Restored, StoreChange};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::{MAX_OPERATIONS, MAX_VALUE, StateStore, StoreError, Write};

const STACK: &str = "stack/";
const SPEC: &str = "spec/";
const ENDPOINTS: &str = "endpoints/";
const RECORD: &str = "record";
const LEADERSHIP: &str = "leadership";
const PART: &str = "part/";

/// A value as stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stored {
    /// The document itself.
    Whole(serde_json::Value),
    /// Its JSON text, cut: digests of the parts.
    Parts(Vec<String>),
}

/// The store doesn't hold what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document can't be read.
    #[error("the stored document {key} is damaged")]
    Damaged {
        /// Its key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A part of a document is missing.
    #[error("the stored document {key} has lost a part")]
    Incomplete {
        /// Its key.
        key: String,
    },
}

impl DocumentError {
    /// Whether there was no room on the disk: nothing else is wrong.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Store(StoreError::Full { .. }))
    }

    /// Whether what is stored isn't what was written.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) => matches!(error, StoreError::Damaged { .. }),
            Self::Damaged { .. } | Self::Incomplete { .. } => true,
        }
    }
}

/// Reads everything. Changes nothing.
pub(crate) fn read(store: &dyn StateStore) -> Result<Restored, DocumentError> {
    let all = all(store)?;
    let mut restored = Restored::default();
    for key in all.keys() {
        if let Some(id) = key.strip_prefix(STACK).and_then(|id| id.parse::<StackId>().ok()) {
            restored.stacks.insert(id, document(&all, key)?);
        } else if let Some(id) = key.strip_prefix(SPEC).and_then(|id| id.parse::<HostId>().ok()) {
            restored.specs.insert(id, document(&all, key)?);
        } else if let Some(id) = key.strip_prefix(ENDPOINTS).and_then(|id| id.parse::<HostId>().ok()) {
            restored.endpoints.insert(id, document(&all, key)?);
        } else if key == RECORD {
            restored.record = document(&all, key)?;
        } else if key == LEADERSHIP {
            restored.leadership = document(&all, key)?;
        }
    }
    Ok(restored)
}

fn all(store: &dyn StateStore) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
    Ok(store.range("")?.into_iter().map(|entry| (entry.key, entry.value)).collect())
}

/// Reads everything. Raises the leader term: whoever led before is deposed.
///
/// Where the disk is full the new term isn't written down. The next start then takes the same one: every spec of this
/// one that is stored by then has a number that goes on from the last.
pub(crate) fn load(store: &dyn StateStore, pool: Pool) -> Result<Restored, DocumentError> {
    let mut restored = Restored { pool, ..read(store)? };
    restored.leadership = next_leadership(restored.leadership);
    let mut writes = encode(LEADERSHIP, &restored.leadership);
    writes.extend(orphaned_parts(&all(store)?));
    match commit(store, writes) {
        Err(StoreError::Full { .. }) | Ok(()) => Ok(restored),
        Err(error) => Err(error.into()),
    }
}

/// Fills a store that holds nothing with what was rebuilt.
pub(crate) fn refill(store: &dyn StateStore, restored: &Restored) -> Result<(), DocumentError> {
    let stacks = restored.stacks.iter().map(|(id, stack)| (id.clone(), Some(Box::new(stack.clone()))));
    let change = StoreChange {
        stacks: stacks.collect(),
        specs: restored.specs.clone(),
        endpoints: restored.endpoints.clone(),
        record: None,
        leadership: None,
    };
    self::store(store, &change)?;
    Ok(commit(store, encode(LEADERSHIP, &restored.leadership))?)
}

/// The next term of the store's incarnation; a new store has the first. That a store was restored from a backup can't
/// be seen in it: the host tells, and `planner` then raises the incarnation.
fn next_leadership(last: Generation) -> Generation {
    let incarnation = if last.incarnation == 0 { 1 } else { last.incarnation };
    Generation { incarnation, term: last.term + 1, n: 0 }
}

fn document<T: DeserializeOwned>(all: &BTreeMap<String, Vec<u8>>, key: &str) -> Result<T, DocumentError> {
    let damaged = |source| DocumentError::Damaged { key: key.to_owned(), source };
    let bytes = all.get(key).map(Vec::as_slice).unwrap_or_default();
    match serde_json::from_slice(bytes).map_err(damaged)? {
        Stored::Whole(value) => serde_json::from_value(value).map_err(damaged),
        Stored::Parts(digests) => {
            let mut text = Vec::new();
            for digest in digests {
                let part = all.get(&format!("{PART}{digest}"));
                text.extend(part.ok_or_else(|| DocumentError::Incomplete { key: key.to_owned() })?);
            }
            serde_json::from_slice(&text).map_err(damaged)
        }
    }
}

fn parts_of(bytes: &[u8]) -> Vec<String> {
    match serde_json::from_slice(bytes) {
        Ok(Stored::Parts(digests)) => digests.into_iter().map(|digest| format!("{PART}{digest}")).collect(),
        _ => Vec::new(),
    }
}

fn orphaned_parts(all: &BTreeMap<String, Vec<u8>>) -> Vec<Write> {
    let documents = all.iter().filter(|(key, _)| !key.starts_with(PART));
    let named: BTreeSet<String> = documents.flat_map(|(_, value)| parts_of(value)).collect();
    let parts = all.keys().filter(|key| key.starts_with(PART) && !named.contains(*key));
    parts.map(|key| Write::Delete(key.clone())).collect()
}

/// Writes a change. Parts go first, so that a document never names one that isn't there.
pub(crate) fn store(store: &dyn StateStore, change: &StoreChange) -> Result<(), DocumentError> {
    let mut writes = Vec::new();
    for (id, stack) in &change.stacks {
        match stack {
            Some(stack) => writes.extend(encode(&format!("{STACK}{id}"), stack)),
            None => writes.push(Write::Delete(format!("{STACK}{id}"))),
        }
    }
    for (host, spec) in &change.specs {
        writes.extend(encode(&format!("{SPEC}{host}"), spec));
    }
    for (host, endpoints) in &change.endpoints {
        writes.extend(encode(&format!("{ENDPOINTS}{host}"), endpoints));
    }
    if let Some(record) = &change.record {
        writes.extend(encode(RECORD, record));
    }
    if let Some(leadership) = change.leadership {
        tracing::warn!(
            "the store is older than what the host has accepted, as after restoring a backup: leading on as {leadership}"
        );
        writes.extend(encode(LEADERSHIP, &leadership));
    }
    Ok(commit(store, writes)?)
}

fn commit(store: &dyn StateStore, writes: Vec<Write>) -> Result<(), StoreError> {
    let is_part = |write: &Write| matches!(write, Write::Put(key, _) if key.starts_with(PART));
    let (parts, documents): (Vec<_>, Vec<_>) = writes.into_iter().partition(is_part);
    for chunk in parts.chunks(MAX_OPERATIONS).chain(documents.chunks(MAX_OPERATIONS)) {
        store.commit(&[], chunk)?;
    }
    Ok(())
}

fn encode<T: Serialize>(key: &str, value: &T) -> Vec<Write> {
    let value = serde_json::to_value(value).expect("the model holds only what JSON can hold");
    let whole = serde_json::to_vec(&Stored::Whole(value.clone())).expect("a JSON value is JSON");
    if whole.len() <= MAX_VALUE {
        return vec![Write::Put(key.to_owned(), whole)];
    }
    let text = serde_json::to_vec(&value).expect("a JSON value is JSON");
    let parts: Vec<(String, &[u8])> =
        text.chunks(MAX_VALUE).map(|part| (hex(&Sha256::digest(part)), part)).collect();
    let names = Stored::Parts(parts.iter().map(|(digest, _)| digest.clone()).collect());
    let index = serde_json::to_vec(&names).expect("a list of names is JSON");
    let mut writes: Vec<Write> = parts
        .into_iter()
        .map(|(digest, part)| Write::Put(format!("{PART}{digest}"), part.to_vec()))
        .collect();
    writes.push(Write::Put(key.to_owned(), index));
    writes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read, Write as _};
    use std::path::Path;

    use flate2::Compression;
    use flate2::read::GzDecoder;
    use flate2::write::GzEncoder;
    use hoist_goldens::Golden;
    use hoist_model::{HostSpec, VolumeId};

    use super::*;
    use crate::store::Embedded;

    fn change(volumes: usize) -> StoreChange {
        let removed_volumes =
            (0..volumes).map(|n| VolumeId::new(format!("volume-number-{n}")).unwrap()).collect();
        let spec = HostSpec { removed_volumes, ..HostSpec::default() };
        StoreChange { specs: BTreeMap::from([(HostId::new("h").unwrap(), spec)]), ..StoreChange::default() }
    }

    fn golden(name: &str) -> Golden {
        Golden::new(env!("CARGO_MANIFEST_DIR"), name)
    }

    /// The documents of the other crates' golden files, as one store.
    fn everything() -> StoreChange {
        let of = |krate: &str, name: &str| {
            Golden::new(&format!("{}/../{krate}", env!("CARGO_MANIFEST_DIR")), name)
        };
        let host = HostId::new("h").unwrap();
        StoreChange {
            stacks: BTreeMap::from([(
                "shop@pr-12".parse().unwrap(),
                Some(Box::new(of("model", "v1/wanted-stack.json").read())),
            )]),
            specs: BTreeMap::from([(host.clone(), of("model", "v1/host-spec.json").read())]),
            endpoints: BTreeMap::from([(host, of("model", "v1/endpoints.json").read())]),
            record: Some(of("planner", "v1/record.json").read()),
            leadership: Some(Generation { incarnation: 2, term: 3, n: 0 }),
        }
    }

    fn opened(dir: &Path, bytes: &[u8]) -> Embedded {
        let path = dir.join("store.redb");
        std::fs::write(&path, bytes).unwrap();
        Embedded::open(&path).unwrap()
    }

    fn unpacked(golden: &Golden) -> Vec<u8> {
        let mut bytes = Vec::new();
        GzDecoder::new(&*golden.bytes()).read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Keys, and what stands under them.
    fn contents(store: &Embedded) -> BTreeMap<String, serde_json::Value> {
        let entries = store.range("").unwrap().into_iter();
        entries.map(|entry| (entry.key, serde_json::from_slice(&entry.value).unwrap())).collect()
    }

    #[test]
    fn stores_of_former_releases_are_read_and_come_to_the_same_values() {
        let golden = golden("v1/store.redb.gz");
        let dir = tempfile::tempdir().unwrap();
        golden.made_once(|| {
            let path = dir.path().join("new.redb");
            store(&Embedded::open(&path).unwrap(), &everything()).unwrap();
            let mut gz = GzEncoder::new(Vec::new(), Compression::best());
            gz.write_all(&std::fs::read(&path).unwrap()).unwrap();
            gz.finish().unwrap()
        });
        let restored = load(&opened(dir.path(), &unpacked(&golden)), Pool::default()).unwrap();
        let everything = everything();
        let stacks = everything.stacks.into_iter().map(|(id, stack)| (id, *stack.unwrap())).collect();
        assert_eq!(restored.stacks, stacks);
        assert_eq!(restored.specs, everything.specs);
        assert_eq!(restored.endpoints, everything.endpoints);
        assert_eq!(Some(restored.record), everything.record);
        assert_eq!(restored.leadership, Generation { incarnation: 2, term: 4, n: 0 });
    }

    #[test]
    fn documents_stand_in_the_store_as_ever() {
        let dir = tempfile::tempdir().unwrap();
        let fresh = Embedded::open(&dir.path().join("fresh.redb")).unwrap();
        store(&fresh, &everything()).unwrap();
        let released = opened(dir.path(), &unpacked(&golden("v1/store.redb.gz")));
        assert_eq!(
            contents(&fresh),
            contents(&released),
            "the format has changed: add a store of the next version"
        );
    }

    #[test]
    fn documents_of_any_size_come_back_and_leave_no_parts() {
        let dir = tempfile::tempdir().unwrap();
        let embedded = Embedded::open(&dir.path().join("s")).unwrap();
        for volumes in [3, 60_000, 100_000, 1] {
            store(&embedded, &change(volumes)).unwrap();
            let restored = load(&embedded, Pool::default()).unwrap();
            assert_eq!(restored.specs[&HostId::new("h").unwrap()].removed_volumes.len(), volumes);
        }
        assert!(embedded.range(PART).unwrap().is_empty());
        assert_eq!(load(&embedded, Pool::default()).unwrap().leadership.term, 5);
    }
}
