//! A little room that is kept back. To take something out of a store, a shorter index and a session have to be written;
//! on a disk without a byte left that takes room which only taking out would give.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use super::{Store, StoreError, make_directory};

/// Several files, since a disk may lack inodes as well as bytes.
const FILES: usize = 8;
/// The index of a thousand images is about half a mebibyte.
const SIZE: u64 = 128 << 10;

impl Store {
    /// Does what makes room; when there is none to do it with, once more with what was kept back.
    pub(crate) fn with_reserve<T>(
        &self,
        mut work: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match work() {
            Err(error) if is_full(&error) && self.release() => work(),
            done => done,
        }
    }

    /// Gives the room back; false when there was none.
    fn release(&self) -> bool {
        self.reserved().filter(|path| fs::remove_file(path).is_ok()).count() > 0
    }

    /// Keeps room back again, where there is some.
    pub(super) fn refill(&self) {
        let _ = make_directory(&self.reserve());
        for path in self.reserved().filter(|path| !path.exists()) {
            if allocate(&path).is_err() {
                let _ = fs::remove_file(&path);
                return;
            }
        }
    }

    fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    fn reserved(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let folder = self.reserve();
        (0..FILES).map(move |number| folder.join(number.to_string()))
    }
}

fn is_full(error: &StoreError) -> bool {
    let full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    matches!(error, StoreError::Io { source, .. } if full(source.kind()))
}

fn allocate(path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, SIZE) {
        // Not every file system can: fallocate(2).
        Err(rustix::io::Errno::OPNOTSUPP) => {
            io::copy(&mut io::Read::take(io::repeat(0), SIZE), &mut &file).map(drop)
        }
        done => Ok(done?),
    }
}
