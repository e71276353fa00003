//! Room kept back on the state's disk, for what must be possible when it is full: writing down that something was
//! stopped or taken down. It is given back in pieces, since what others find free they take; each is a file, since a
//! disk may lack inodes as well as bytes.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hoist_wire::{ApiError, ErrorKind};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tokio::sync::watch;

use crate::layout::Layout;

/// Most documents of the state are smaller.
const PIECE: u64 = 256 << 10;
/// Eight mebibytes in all.
const PIECES: u64 = 32;
/// Of a small disk no more than one part in so many is kept back.
const SHARE: u64 = 16;
/// A disk with fewer bytes free counts as full.
const LEAST: u64 = 1 << 20;
/// How often it is looked whether there is room for what was given back.
const LOOK: Duration = Duration::from_secs(1);

/// The reserve of one root. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reserve(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    dir: PathBuf,
    whole: watch::Sender<bool>,
    exhausted: watch::Sender<bool>,
}

/// What a disk has.
struct Space {
    total: u64,
    free: u64,
    no_inodes: bool,
}

impl Reserve {
    /// The reserve of a root, as an agent before left it.
    pub(crate) fn of(layout: &Layout) -> Self {
        let (root, dir) = (layout.root().to_owned(), layout.reserve());
        Self(Arc::new(Inner {
            root,
            dir,
            whole: watch::Sender::new(false),
            exhausted: watch::Sender::new(false),
        }))
    }

    /// Gives a piece back to the disk. False: none is left.
    #[must_use]
    pub fn give(&self) -> bool {
        let given = (0..PIECES).rev().any(|number| fs::remove_file(self.piece(number)).is_ok());
        self.0.exhausted.send_replace(!given);
        self.0.whole.send_replace(false);
        given
    }

    /// Why nothing that needs room may begin, when the disk is full.
    #[must_use]
    pub fn full(&self) -> Option<ApiError> {
        let space = self.space()?;
        if space.free >= LEAST && !space.no_inodes {
            return None;
        }
        let root = self.0.root.display();
        let free = if space.no_inodes { "no file".to_owned() } else { format!("{} KiB", space.free >> 10) };
        let what = format!("the disk that holds {root} is full: there is room for {free} more");
        Some(ApiError::new(ErrorKind::Internal, what).hint(format!(
            "free space on it (`df {root}` shows which disk it is); `hoist stop`, `hoist down` and \
             `hoist system prune` work without"
        )))
    }

    /// Resolves once a write waits for room and no piece is left to give.
    pub async fn exhausted(&self) -> ApiError {
        let mut exhausted = self.0.exhausted.subscribe();
        let _ = exhausted.wait_for(|exhausted| *exhausted).await;
        let what = format!(
            "the disk that holds {} is full, and what was kept back on it is used up",
            self.0.root.display()
        );
        ApiError::new(ErrorKind::Internal, what).hint("free space on it, and run the command again")
    }

    /// Takes room back whenever some was given and there is some, for as long as the agent runs.
    pub(crate) async fn keep_filled(self) {
        let mut whole = self.0.whole.subscribe();
        while whole.wait_for(|whole| !whole).await.is_ok() {
            let reserve = self.clone();
            // A file system that hangs holds up this task alone.
            let _ = tokio::task::spawn_blocking(move || reserve.fill()).await;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whoever waits for room goes first: only what is left beyond that is taken.
    fn fill(&self) {
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(&self.0.dir);
        let Some(space) = self.space() else { return };
        if space.free >= PIECE {
            self.0.exhausted.send_replace(false);
        }
        let pieces = (space.total / SHARE / PIECE).min(PIECES);
        for path in (0..pieces).map(|number| self.piece(number)).filter(|path| !path.exists()) {
            if self.space().is_none_or(|space| space.free < LEAST + 2 * PIECE) {
                return;
            }
            if allocate(&path).is_err() {
                let _ = fs::remove_file(&path);
                return;
            }
        }
        self.0.whole.send_replace(true);
    }

    fn piece(&self, number: u64) -> PathBuf {
        self.0.dir.join(number.to_string())
    }

    fn space(&self) -> Option<Space> {
        let stat = statvfs(&self.0.root).ok()?;
        // Free for root: what ext4 keeps back for it is ours too.
        let (total, free) = (stat.f_blocks * stat.f_frsize, stat.f_bfree * stat.f_frsize);
        Some(Space { total, free, no_inodes: stat.f_files > 0 && stat.f_ffree == 0 })
    }
}

fn allocate(path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, PIECE) {
        // Not every file system can: fallocate(2).
        Err(rustix::io::Errno::OPNOTSUPP) => {
            io::copy(&mut io::Read::take(io::repeat(0), PIECE), &mut &file).map(drop)
        }
        done => Ok(done?),
    }
}

/// Whether a write failed for want of room. A quota is a disk of its own to whom it limits.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_given_back_piece_by_piece_and_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(&Layout::new(dir.path().to_owned()));
        assert!(!reserve.give());
        reserve.fill();
        assert!(*reserve.0.whole.borrow());
        let mut given = 0;
        while reserve.give() {
            given += 1;
        }
        assert_eq!(given, PIECES);
        assert!(reserve.exhausted().await.message.contains("used up"));
        reserve.fill();
        assert!(!*reserve.0.exhausted.borrow());
        assert_eq!(fs::read_dir(&reserve.0.dir).unwrap().count() as u64, PIECES);
    }
}
