//! What sessions put in place reaches the disk behind them: nobody waits for it.
//!
//! Until then an ended session's `made` stays below `settling/`, so that after a power cut [`super::recover`] knows what
//! to doubt. A process that ends before leaves that to the next one that opens the store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::session::{Other, others};
use super::{Store, StoreError};

/// What is started next is not held up by writing, and what several sessions made is written once.
const PAUSE: Duration = Duration::from_secs(1);

/// Who gets a store's content onto the disk, one at a time.
#[derive(Debug)]
pub(super) struct Settler {
    root: PathBuf,
    busy: Mutex<()>,
    /// A thread will take all sessions that end until its turn.
    waiting: AtomicBool,
}

impl Settler {
    pub(super) fn new(root: PathBuf) -> Arc<Self> {
        Arc::new(Self { root, busy: Mutex::default(), waiting: AtomicBool::new(false) })
    }

    fn settle(&self) -> Result<(), StoreError> {
        let _turn = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.store(false, Ordering::SeqCst);
        // What comes while syncing may come too late for it, and waits for the next turn. Another process may settle
        // the same: each has synced before it removes.
        let mut ended = others(&self.folder())?;
        ended.retain(|session| !session.is_of_an_earlier_boot());
        if ended.is_empty() {
            return Ok(());
        }
        sync(&self.root)?;
        ended.iter().try_for_each(Other::remove)
    }

    fn folder(&self) -> PathBuf {
        self.root.join("settling")
    }
}

impl Store {
    /// What ended sessions put in place and is not known to be on the disk.
    pub(super) fn unsettled(&self) -> Result<Vec<Other>, StoreError> {
        others(&self.settler.folder())
    }

    /// Waits until all that ended sessions put in place is on the disk.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.settler.settle()
    }

    /// Begins to get onto the disk what ended sessions put in place.
    pub(super) fn settle_soon(&self) {
        if self.settler.waiting.swap(true, Ordering::SeqCst) {
            return;
        }
        let settler = Arc::clone(&self.settler);
        let settle = move || {
            thread::sleep(PAUSE);
            drop(settler.settle());
        };
        // Without a thread, or when syncing fails, whoever settles next does it.
        if thread::Builder::new().name("settle".to_owned()).spawn(settle).is_err() {
            self.settler.waiting.store(false, Ordering::SeqCst);
        }
    }
}

/// Everything written to the store's file system so far is on the disk afterwards.
fn sync(root: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::io("syncing", root)(source);
    let root = File::open(root).map_err(failed)?;
    rustix::fs::syncfs(root).map_err(|errno| failed(errno.into()))
}
