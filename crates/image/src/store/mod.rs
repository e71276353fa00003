//! The content store: blobs by digest, layers unpacked once, and an index of names.
//!
//! ```text
//! oci-layout, index.json, blobs/sha256/<hex>   a valid OCI image layout, for other tools to read
//! layers/<diff id>/{fs,layer.json}             each layer, unpacked once, shared by all images
//! tmp/<session>/                               what an operation under way has made so far
//! settling/<session>/                          the names of what one has made that may not be on the disk yet
//! reserve/                                     room to clean up with on a full disk
//! lock                                         see below
//! ```
//!
//! Nothing appears half made: each thing is made in a session's directory and renamed into place.
//! A process killed at any instant leaves a dead session, which the next `open` clears away. What is
//! put in place reaches the disk a little later (`settle`); after a power cut before that it is
//! checked, made again, or forgotten with the images that had it.
//!
//! Several processes share a store. `lock` is held shared while something is renamed into place,
//! exclusively while sessions are cleared or garbage is taken out; long work holds no lock, its
//! session pins what it relies on. `index.json` changes under `index.lock`.

mod blobs;
mod gc;
mod images;
mod implied;
mod index;
mod layers;
mod recover;
mod reserve;
mod scratch;
mod session;
mod settle;
mod usage;
mod verify;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;

pub use blobs::BlobError;
pub(crate) use blobs::{BlobWriter, Spooled};
pub use gc::Collected;
pub use images::{DockerConfig, HealthCheck, Image, RegisterError, RemoveError, Removed};
pub(crate) use images::{Documents, NewImage};
pub use layers::LayerError;
pub(crate) use scratch::Scratch;
pub(crate) use session::Session;
pub use usage::{ImageUsage, Usage, disk_bytes};
pub use verify::Fault;

use crate::builder::StepLocks;
use crate::digest::Digest;

const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Something about the store itself failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{action} {path} failed")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} is damaged")]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("{0} is not an image store of this version")]
    Foreign(PathBuf),
}

impl StoreError {
    pub(crate) fn io<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> Self + use<'p> {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// A store, open. Cheap to keep; several may be open on one directory, in one process or in many.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// Who is just doing which step of a build.
    pub(crate) step_locks: StepLocks,
    settler: Arc<settle::Settler>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    Shared,
    Exclusive,
}

impl Store {
    /// Opens the store at `root`, made if it isn't there, and clears what killed processes left.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        make_directory(root)?;
        let root = fs::canonicalize(root).map_err(StoreError::io("finding", root))?;
        let settler = settle::Settler::new(root.clone());
        let store = Self { root, step_locks: StepLocks::default(), settler };
        store.recover()?;
        Ok(store)
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn lay_out(&self) -> Result<(), StoreError> {
        for directory in ["blobs", "blobs/sha256", "layers", "tmp", "settling"] {
            make_directory(&self.root.join(directory))?;
        }
        let layout = self.root.join("oci-layout");
        match fs::read_to_string(&layout) {
            Ok(text) if text == LAYOUT => Ok(()),
            Ok(_) => Err(StoreError::Foreign(self.root.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => write_whole(&layout, LAYOUT.as_bytes()),
            Err(source) => Err(StoreError::io("reading", &layout)(source)),
        }
    }

    fn blob_path(&self, digest: Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    fn layer_path(&self, diff_id: Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }

    /// Waits for the store's lock. It is released when the file is dropped, or the process ends.
    fn lock(&self, lock: Lock) -> Result<File, StoreError> {
        lock_file(&self.root.join("lock"), lock)
    }
}

fn lock_file(path: &Path, lock: Lock) -> Result<File, StoreError> {
    let failed = |source| StoreError::io("locking", path)(source);
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(failed)?;
    let operation = match lock {
        Lock::Shared => FlockOperation::LockShared,
        Lock::Exclusive => FlockOperation::LockExclusive,
    };
    rustix::io::retry_on_intr(|| rustix::fs::flock(&file, operation))
        .map_err(|errno| failed(errno.into()))?;
    Ok(file)
}

/// Layers hold set-id programs and others' files: nobody but root may walk in.
pub(crate) fn make_directory(path: &Path) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().mode(0o700).recursive(true).create(path);
    made.map_err(StoreError::io("making", path))
}

/// Writes a file so that after a crash it is whole, or as it was before.
fn write_whole(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(path))?.sync_all()
    };
    write().map_err(StoreError::io("writing", path))
}
