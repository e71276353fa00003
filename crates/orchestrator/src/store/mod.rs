//! The state store: etcd's contract and etcd's limits, whatever is below.
//!
//! Keys are text, values small ([`MAX_VALUE`]), a transaction is all or nothing and may be conditional on the
//! revision a key was last changed at. Larger content is spread over several values by [`crate::documents`].

use std::path::PathBuf;

mod embedded;

pub use embedded::Embedded;

/// The most that one value may hold; etcd refuses requests above 1.5 MiB as a whole.
pub const MAX_VALUE: usize = 512 << 10;
/// The most operations in one transaction; etcd's default is 128, conditions and both branches included.
pub const MAX_OPERATIONS: usize = 64;

/// A stored value and when it was last changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The store's revision at the last change of this key.
    pub modified: u64,
}

/// A condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The key was last changed at this revision.
    Modified(String, u64),
    /// The key isn't there.
    Absent(String),
}

/// A change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Set a key.
    Put(String, Vec<u8>),
    /// Remove a key, if it is there.
    Delete(String),
}

/// What a transaction came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is durable, at this revision.
    At(u64),
    /// A condition didn't hold; nothing was changed.
    ConditionFailed,
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A limit that every back end keeps.
    #[error("{what} is {size}, the store takes {limit} at most")]
    Limit {
        /// What is too large.
        what: String,
        /// How large it is.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The disk, or what a quota leaves of it, is full. The store is as before and can be asked again.
    #[error("there is no room left on the disk for {path}")]
    Full {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// What is stored isn't what was written.
    #[error("the state store {path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The back end failed.
    #[error("the state store {path} can't be used")]
    Backend {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A state store. Blocking: callers on an async runtime use a thread of their own.
pub trait StateStore: Send + Sync {
    /// All keys that begin with `prefix`, in order, as of one revision.
    ///
    /// # Errors
    /// When the back end fails.
    fn range(&self, prefix: &str) -> Result<Vec<Entry>, StoreError>;

    /// Writes all, if every condition holds. When this returns, it is durable.
    ///
    /// # Errors
    /// When a limit is exceeded or the back end fails; nothing was changed.
    fn commit(&self, conditions: &[Compare], writes: &[Write]) -> Result<Committed, StoreError>;
}

/// Checks the limits that every back end keeps.
pub(crate) fn check_limits(conditions: &[Compare], writes: &[Write]) -> Result<(), StoreError> {
    let operations = conditions.len() + writes.len();
    if operations > MAX_OPERATIONS {
        let what = "a transaction's number of operations".to_owned();
        return Err(StoreError::Limit { what, size: operations, limit: MAX_OPERATIONS });
    }
    for write in writes {
        if let Write::Put(key, value) = write
            && value.len() > MAX_VALUE
        {
            return Err(StoreError::Limit {
                what: format!("the value of {key}"),
                size: value.len(),
                limit: MAX_VALUE,
            });
        }
    }
    Ok(())
}
