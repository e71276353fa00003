//! The store of a single host: one redb file.
//!
//! After a write that failed redb refuses everything until the file is opened anew. So a commit that found the disk
//! full closes it, and the next call opens it again, which brings it back to the last commit.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Committed, Compare, Entry, StateStore, StoreError, Write, check_limits};

/// Key to (revision of the last change, value).
const ENTRIES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("entries");
/// One row: the store's revision.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const REVISION: &str = "revision";

/// A store in one file; a second process that opens it is refused.
#[derive(Debug)]
pub struct Embedded {
    path: PathBuf,
    /// None while it is to be opened anew.
    database: Mutex<Option<Database>>,
}

impl Embedded {
    /// Opens the store, making it when there is none. What is there is checked whole.
    ///
    /// # Errors
    /// When the file can't be opened, or another process has it; [`StoreError::Damaged`] when it isn't as redb leaves
    /// its files.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = open(path)?;
        Ok(Self { path: path.to_owned(), database: Mutex::new(Some(opened)) })
    }

    /// Does `work` with the open database, and closes it when that failed.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match slot.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        let worked = work(&database);
        if worked.is_ok() {
            *slot = Some(database);
        }
        worked.map_err(|error| explain(&self.path, error))
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let opened = || -> Result<Database, redb::Error> {
        let mut database = Database::create(path)?;
        database.check_integrity()?;
        if !has_tables(&database)? {
            let write = database.begin_write()?;
            write.open_table(ENTRIES)?;
            write.open_table(META)?;
            write.commit()?;
        }
        Ok(database)
    };
    opened().map_err(|error| explain(path, error))
}

/// Looked at without writing: a full disk keeps nobody from opening a store that is there.
fn has_tables(database: &Database) -> Result<bool, redb::Error> {
    let read = database.begin_read()?;
    for opened in [read.open_table(ENTRIES).map(drop), read.open_table(META).map(drop)] {
        match opened {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(false),
            opened => opened?,
        }
    }
    Ok(true)
}

fn explain(path: &Path, error: redb::Error) -> StoreError {
    let path = path.to_owned();
    match error {
        redb::Error::Io(source) if is_full(&source) => StoreError::Full { path, source },
        // The second: the file ends before what its head says.
        redb::Error::Io(source)
            if matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            StoreError::Damaged { path, source: source.into() }
        }
        redb::Error::Corrupted(_)
        | redb::Error::RepairAborted
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_) => StoreError::Damaged { path, source: error.into() },
        error => StoreError::Backend { path, source: error.into() },
    }
}

/// A quota is a disk of its own to whom it limits.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl StateStore for Embedded {
    fn range(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.with(|database| {
            let table = database.begin_read()?.open_table(ENTRIES)?;
            let mut entries = Vec::new();
            for row in table.range(prefix..)? {
                let (key, value) = row?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                let (modified, bytes) = value.value();
                entries.push(Entry { key: key.value().to_owned(), value: bytes.to_vec(), modified });
            }
            Ok(entries)
        })
    }

    fn commit(&self, conditions: &[Compare], writes: &[Write]) -> Result<Committed, StoreError> {
        check_limits(conditions, writes)?;
        self.with(|database| {
            let write = database.begin_write()?;
            let Some(revision) = change(&write, conditions, writes)? else {
                return Ok(Committed::ConditionFailed);
            };
            write.commit()?;
            Ok(Committed::At(revision))
        })
    }
}

/// The changes in a transaction, and the revision that they make; none when a condition doesn't hold.
fn change(
    write: &redb::WriteTransaction,
    conditions: &[Compare],
    writes: &[Write],
) -> Result<Option<u64>, redb::Error> {
    let mut entries = write.open_table(ENTRIES)?;
    for condition in conditions {
        let (key, wanted) = match condition {
            Compare::Modified(key, revision) => (key, Some(*revision)),
            Compare::Absent(key) => (key, None),
        };
        let found = entries.get(key.as_str())?.map(|value| value.value().0);
        if found != wanted {
            return Ok(None);
        }
    }
    let mut meta = write.open_table(META)?;
    let revision = meta.get(REVISION)?.map_or(0, |value| value.value()) + 1;
    meta.insert(REVISION, revision)?;
    for change in writes {
        match change {
            Write::Put(key, value) => drop(entries.insert(key.as_str(), (revision, value.as_slice()))?),
            Write::Delete(key) => drop(entries.remove(key.as_str())?),
        }
    }
    Ok(Some(revision))
}

#[cfg(test)]
mod tests {
    use super::super::MAX_VALUE;
    use super::*;

    fn put(key: &str, value: &str) -> Write {
        Write::Put(key.into(), value.into())
    }

    #[test]
    fn a_transaction_is_all_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(&dir.path().join("s")).unwrap();
        assert_eq!(store.commit(&[], &[put("a/1", "x"), put("b", "y")]).unwrap(), Committed::At(1));
        let stale = [Compare::Modified("a/1".into(), 7)];
        assert_eq!(store.commit(&stale, &[Write::Delete("b".into())]).unwrap(), Committed::ConditionFailed);
        let right = [Compare::Modified("a/1".into(), 1), Compare::Absent("a/2".into())];
        assert_eq!(
            store.commit(&right, &[put("a/2", "z"), Write::Delete("b".into())]).unwrap(),
            Committed::At(2)
        );
        let keys: Vec<_> =
            store.range("a/").unwrap().into_iter().map(|entry| (entry.key, entry.modified)).collect();
        assert_eq!(keys, [("a/1".to_owned(), 1), ("a/2".to_owned(), 2)]);
        assert!(store.range("b").unwrap().is_empty());
    }

    #[test]
    fn limits_hold_and_a_second_opener_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(&dir.path().join("s")).unwrap();
        let large = Write::Put("k".into(), vec![0; MAX_VALUE + 1]);
        assert!(matches!(store.commit(&[], &[large]), Err(StoreError::Limit { .. })));
        let many = vec![Write::Delete("k".into()); 65];
        assert!(matches!(store.commit(&[], &many), Err(StoreError::Limit { .. })));
        assert!(Embedded::open(&dir.path().join("s")).is_err());
    }

    /// What is read of a damaged file is all of it, or nothing: redb tells that it is damaged, or panics.
    #[test]
    fn a_damaged_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let store = Embedded::open(&path).unwrap();
        for n in 0..200 {
            store.commit(&[], &[put(&format!("k/{n}"), &"v".repeat(900))]).unwrap();
        }
        drop(store);
        let sound = std::fs::read(&path).unwrap();
        let garbage: Vec<u8> = sound.iter().enumerate().map(|(n, _)| (n * 7919 % 251) as u8).collect();
        let half = sound[..sound.len() / 2].to_vec();
        for damaged in [garbage, half, sound[..100].to_vec(), b"x".to_vec()] {
            std::fs::write(&path, &damaged).unwrap();
            let opened = Embedded::open(&path);
            assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{}: {opened:?}", damaged.len());
        }
        let mut kinds = [0, 0, 0];
        for at in (0..sound.len()).step_by(997) {
            let mut flipped = sound.clone();
            flipped[at..][..4.min(sound.len() - at)].fill(0xff);
            std::fs::write(&path, &flipped).unwrap();
            let read = || Embedded::open(&path).and_then(|store| store.range(""));
            match std::panic::catch_unwind(read) {
                // Where nothing is kept.
                Ok(Ok(entries)) => {
                    assert_eq!(entries.len(), 200, "at {at}");
                    kinds[0] += 1;
                }
                Ok(Err(error)) => {
                    assert!(matches!(error, StoreError::Damaged { .. }), "at {at}: {error:?}");
                    kinds[1] += 1;
                }
                Err(_) => kinds[2] += 1,
            }
        }
        assert!(kinds[..2].iter().all(|count| *count > 0), "{kinds:?}");
    }
}
