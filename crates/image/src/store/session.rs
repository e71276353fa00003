//! A session: one operation's own directory below `tmp/`, and its pins.
//!
//! A session lives as long as its process holds the lock on its directory. `made/<hex>` names each
//! blob or layer just before it is renamed into place, `uses/<hex>` those found there; neither is
//! garbage while the session lives. `made` outlives the session, below `settling/`, until what it
//! names has settled on the disk: it is what recovery after a power cut has to look at.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::FlockOperation;

use super::{Lock, Store, StoreError, make_directory};
use crate::digest::Digest;

/// Holds the session alive; what it made and did not put in place goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Session<'s> {
    pub(super) store: &'s Store,
    path: PathBuf,
    next: AtomicU64,
    /// Whether it put anything in place.
    made: AtomicBool,
    _alive: File,
}

/// Another session, alive or dead.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) path: PathBuf,
    /// Its lock, now ours: its process is gone.
    pub(super) dead: Option<File>,
}

impl Store {
    pub(crate) fn session(&self) -> Result<Session<'_>, StoreError> {
        let (path, alive) = self.session_directory()?;
        Ok(Session {
            store: self,
            path,
            next: AtomicU64::new(0),
            made: AtomicBool::new(false),
            _alive: alive,
        })
    }

    /// A directory that is known to be of a session, and its lock.
    pub(super) fn session_directory(&self) -> Result<(PathBuf, File), StoreError> {
        // No cleaner may meet the directory between its making and its locking.
        let _lock = self.lock(Lock::Shared)?;
        let path = self.root.join("tmp").join(unique());
        for directory in [path.clone(), path.join("made"), path.join("uses")] {
            make_directory(&directory)?;
        }
        let boot = path.join("boot");
        fs::write(&boot, boot_id()).map_err(StoreError::io("writing", &boot))?;
        let alive = File::open(&path).map_err(StoreError::io("opening", &path))?;
        let locked = rustix::fs::flock(&alive, FlockOperation::NonBlockingLockExclusive);
        locked.map_err(|errno| StoreError::io("locking", &path)(errno.into()))?;
        Ok((path, alive))
    }

    /// All sessions there are; those whose process is gone come locked.
    pub(super) fn sessions(&self) -> Result<Vec<Other>, StoreError> {
        others(&self.root.join("tmp"))
    }
}

/// The sessions in a folder.
pub(super) fn others(folder: &Path) -> Result<Vec<Other>, StoreError> {
    let mut others = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io("listing", folder))? {
        let path = entry.map_err(StoreError::io("listing", folder))?.path();
        let alive = match File::open(&path) {
            // It ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            alive => alive.map_err(StoreError::io("opening", &path))?,
        };
        let dead = rustix::fs::flock(&alive, FlockOperation::NonBlockingLockExclusive).is_ok();
        others.push(Other { path, dead: dead.then_some(alive) });
    }
    Ok(others)
}

impl Session<'_> {
    /// A path in the session that nothing has yet.
    pub(super) fn fresh(&self) -> PathBuf {
        self.path.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Makes a directory of its own.
    pub(crate) fn fresh_directory(&self) -> Result<PathBuf, StoreError> {
        let path = self.fresh();
        make_directory(&path)?;
        Ok(path)
    }

    /// Pins what is there already. Call under the store's lock, after seeing it.
    pub(super) fn pin(&self, digest: Digest) -> Result<(), StoreError> {
        self.note("uses", digest)
    }

    /// Renames `from` into place at `to`. Call under the store's lock, after seeing nothing there. Others share the
    /// lock: a directory that one of them put there since is as good.
    pub(super) fn put(&self, digest: Digest, from: &Path, to: &Path) -> Result<(), StoreError> {
        self.note("made", digest)?;
        self.made.store(true, Ordering::Relaxed);
        match fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            put => put.map_err(StoreError::io("putting in place", to)),
        }
    }

    /// What was put in place so far is known after a power cut, so that it can be looked at.
    pub(super) fn sync_notes(&self) -> Result<(), StoreError> {
        if !self.made.load(Ordering::Relaxed) {
            return Ok(());
        }
        let sync = |path: &Path| File::open(path)?.sync_all();
        // The second for `boot`, without which nothing is doubted.
        for path in [&self.path.join("made"), &self.path] {
            sync(path).map_err(StoreError::io("syncing", path))?;
        }
        Ok(())
    }

    fn note(&self, folder: &str, digest: Digest) -> Result<(), StoreError> {
        let path = self.path.join(folder).join(digest.hex());
        File::create(&path).map(drop).map_err(StoreError::io("writing", &path))
    }

    /// Moves something out of its place; it is deleted with the session.
    pub(crate) fn discard(&self, path: &Path) -> Result<(), StoreError> {
        fs::rename(path, self.fresh()).map_err(StoreError::io("removing", path))
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next `open`.
        if !self.made.load(Ordering::Relaxed) {
            let _ = fs::remove_dir_all(&self.path);
            return;
        }
        if end(&self.store.root, &self.path).is_ok() {
            self.store.settle_soon();
        }
    }
}

/// Leaves of a session its word of what it put in place, where that waits for the disk.
fn end(root: &Path, session: &Path) -> io::Result<()> {
    strip(session)?;
    let name = session.file_name().unwrap_or_default();
    fs::rename(session, root.join("settling").join(name))
}

/// Removes all of a session but its word of what it put in place.
fn strip(session: &Path) -> io::Result<()> {
    for entry in fs::read_dir(session)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Some("made" | "boot") => {}
            _ if entry.file_type()?.is_dir() => fs::remove_dir_all(entry.path())?,
            _ => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

impl Other {
    /// What the session put in place, or with `uses` found there.
    pub(super) fn pins(&self, folder: &str) -> Vec<Digest> {
        // A session that is just being made, or unmade, pins nothing.
        let names = fs::read_dir(self.path.join(folder)).into_iter().flatten().flatten();
        names.filter_map(|entry| Digest::from_hex(entry.file_name().to_str()?).ok()).collect()
    }

    /// Whether it put something in place.
    pub(super) fn has_made(&self) -> bool {
        !self.pins("made").is_empty()
    }

    /// Ends it in its process's stead.
    pub(super) fn end(&self, root: &Path) -> Result<(), StoreError> {
        end(root, &self.path).map_err(StoreError::io("removing", &self.path))
    }

    /// Removes it whole.
    pub(super) fn remove(&self) -> Result<(), StoreError> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(StoreError::io("removing", &self.path)),
        }
    }

    /// Whether the machine was started anew since the session began. One that is just being removed has lost its word of
    /// that: it is of this boot, and nothing to doubt.
    pub(super) fn is_of_an_earlier_boot(&self) -> bool {
        fs::read_to_string(self.path.join("boot")).is_ok_and(|boot| boot != boot_id())
    }
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// A name that no other session has: process, time and a counter.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{:x}-{:x}-{count}", std::process::id(), time.tv_sec, time.tv_nsec)
}
