//! The store of a single host: one redb file.

use std::path::Path;

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
    database: Database,
}

fn failed<E: std::error::Error + Send + Sync + 'static>(doing: &'static str) -> impl Fn(E) -> StoreError {
    move |error| StoreError::Backend { doing, source: Box::new(error) }
}

impl Embedded {
    /// Opens the store, making it when there is none.
    ///
    /// # Errors
    /// When the file can't be opened, or another process has it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::create(path).map_err(failed("open"))?;
        let write = database.begin_write().map_err(failed("open"))?;
        write.open_table(ENTRIES).map_err(failed("open"))?;
        write.open_table(META).map_err(failed("open"))?;
        write.commit().map_err(failed("open"))?;
        Ok(Self { database })
    }
}

impl StateStore for Embedded {
    fn range(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let read = self.database.begin_read().map_err(failed("read"))?;
        let table = read.open_table(ENTRIES).map_err(failed("read"))?;
        let mut entries = Vec::new();
        for row in table.range(prefix..).map_err(failed("read"))? {
            let (key, value) = row.map_err(failed("read"))?;
            if !key.value().starts_with(prefix) {
                break;
            }
            let (modified, bytes) = value.value();
            entries.push(Entry { key: key.value().to_owned(), value: bytes.to_vec(), modified });
        }
        Ok(entries)
    }

    fn commit(&self, conditions: &[Compare], writes: &[Write]) -> Result<Committed, StoreError> {
        check_limits(conditions, writes)?;
        let write = self.database.begin_write().map_err(failed("write"))?;
        let revision = {
            let mut entries = write.open_table(ENTRIES).map_err(failed("write"))?;
            for condition in conditions {
                let (key, wanted) = match condition {
                    Compare::Modified(key, revision) => (key, Some(*revision)),
                    Compare::Absent(key) => (key, None),
                };
                let found = entries.get(key.as_str()).map_err(failed("read"))?.map(|value| value.value().0);
                if found != wanted {
                    return Ok(Committed::ConditionFailed);
                }
            }
            let mut meta = write.open_table(META).map_err(failed("write"))?;
            let revision = meta.get(REVISION).map_err(failed("read"))?.map_or(0, |value| value.value()) + 1;
            meta.insert(REVISION, revision).map_err(failed("write"))?;
            for change in writes {
                match change {
                    Write::Put(key, value) => {
                        entries
                            .insert(key.as_str(), (revision, value.as_slice()))
                            .map_err(failed("write"))?;
                    }
                    Write::Delete(key) => {
                        entries.remove(key.as_str()).map_err(failed("write"))?;
                    }
                }
            }
            revision
        };
        write.commit().map_err(failed("write"))?;
        Ok(Committed::At(revision))
    }
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
}
