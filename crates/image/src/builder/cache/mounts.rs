//! Cache mounts: folders that outlive builds, by id, and who may use them at the same time.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::FlockOperation;

use crate::builder::graph::Sharing;
use crate::digest::Digest;
use crate::store::{Session, StoreError};

/// What a step wants of a cache mount.
#[derive(Clone, Copy, Debug)]
pub(in crate::builder) struct Wanted<'a> {
    pub(in crate::builder) id: &'a str,
    pub(in crate::builder) sharing: Sharing,
    pub(in crate::builder) mode: u32,
    pub(in crate::builder) uid: u32,
    pub(in crate::builder) gid: u32,
}

/// A cache mount in use.
#[derive(Debug)]
pub(in crate::builder) struct CacheMount {
    pub(in crate::builder) folder: PathBuf,
    /// Made just now, so that it may be filled.
    pub(in crate::builder) new: bool,
    _lock: File,
}

impl CacheMount {
    /// Takes the folder, waiting for others where it is not shared.
    pub(in crate::builder) fn take(root: &Path, wanted: &Wanted<'_>) -> io::Result<Self> {
        let name = Digest::of(wanted.id.as_bytes()).hex();
        match wanted.sharing {
            Sharing::Shared => Self::lock(root, &name, wanted, FlockOperation::LockShared),
            Sharing::Locked => Self::lock(root, &name, wanted, FlockOperation::LockExclusive),
            Sharing::Private => {
                for number in 0_u32.. {
                    let name = if number == 0 { name.clone() } else { format!("{name}-{number}") };
                    match Self::lock(root, &name, wanted, FlockOperation::NonBlockingLockExclusive) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        taken => return taken,
                    }
                }
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    fn lock(root: &Path, name: &str, wanted: &Wanted<'_>, operation: FlockOperation) -> io::Result<Self> {
        let folder = root.join(name);
        let lock = File::options().create(true).truncate(false).write(true).open(lock_file(&folder))?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&lock, operation))?;
        // When it was last of use, for whoever forgets what is old.
        let _ = lock.set_modified(SystemTime::now());
        let new = match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            made => made.map(|()| true)?,
        };
        if new {
            chown(&folder, Some(wanted.uid), Some(wanted.gid))?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(wanted.mode))?;
        }
        Ok(Self { folder, new, _lock: lock })
    }
}

/// The file that says who uses a folder, and when it was used last.
pub(super) fn lock_file(folder: &Path) -> PathBuf {
    folder.with_extension("lock")
}

/// Moves a folder that nobody uses now into the session, whole, to be deleted with it; says whether it was so.
pub(super) fn discard_unused(session: &Session<'_>, folder: &Path) -> Result<bool, StoreError> {
    let path = lock_file(folder);
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(StoreError::io("opening", &path))?;
    let unused = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
    if unused {
        session.discard(folder)?;
    }
    Ok(unused)
}
