//! Which content a file had when it was last read, so that what did not change is not read again.
//!
//! A hint only: a file counts as unchanged when device, inode, size and both times are the same. A file changed so
//! recently that its times could not tell a further change is not remembered.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Entry;
use crate::digest::Digest;

/// Times of files tick this coarsely at worst, seconds.
const TICK: i64 = 2;
/// More files than this are forgotten, all at once: reading them again is no harm.
const MOST: usize = 100_000;

type Inode = (u64, u64);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    size: u64,
    mtime: (i64, u32),
    ctime: (i64, u32),
    digest: Digest,
}

#[derive(Debug, Default)]
pub(in crate::builder) struct Memory {
    seen: Mutex<(HashMap<Inode, Seen>, bool)>,
}

impl Memory {
    /// Reads what an earlier build left; nothing when it can't be read.
    pub(in crate::builder) fn load(path: &Path) -> Self {
        let list: Option<Vec<(Inode, Seen)>> =
            fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { seen: Mutex::new((list.unwrap_or_default().into_iter().collect(), false)) }
    }

    /// Leaves it for later builds.
    pub(in crate::builder) fn save(&self, path: &Path) -> io::Result<()> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.1 {
            return Ok(());
        }
        let list: Vec<_> = if seen.0.len() > MOST { Vec::new() } else { seen.0.iter().collect() };
        let new = path.with_extension(format!("{}.new", std::process::id()));
        fs::write(&new, serde_json::to_vec(&list)?)?;
        fs::rename(&new, path)
    }

    pub(super) fn recall(&self, entry: &Entry) -> Option<Digest> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.0.get(&(entry.device, entry.inode))?;
        let same = (known.size, known.mtime, known.ctime) == (entry.size, entry.mtime, entry.ctime);
        same.then_some(known.digest)
    }

    /// Notes what was read after `entry` was looked at.
    pub(super) fn remember(&self, entry: &Entry, read: u64, digest: Digest) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let settled =
            entry.ctime.0.max(entry.mtime.0).saturating_add(TICK) <= i64::try_from(now).unwrap_or(i64::MAX);
        if !settled || read != entry.size {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Entry { size, mtime, ctime, .. } = *entry;
        seen.0.insert((entry.device, entry.inode), Seen { size, mtime, ctime, digest });
        seen.1 = true;
    }
}
