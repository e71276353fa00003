//! Network namespaces: making one that outlives every process, and working inside one.
//!
//! `setns` belongs to threads that serve nothing else ([`workers`]), so that no other pool's thread is ever left in the
//! wrong place.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::mount::UnmountFlags;
use rustix::thread::UnshareFlags;

mod workers;

/// `NSFS_MAGIC`, linux/magic.h.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// Why a namespace couldn't be made, found, entered or given up.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The file or one of its folders couldn't be made, opened or removed.
    #[error("can't {what} {path}", path = path.display())]
    File {
        /// The attempt.
        what: &'static str,
        /// The namespace's file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// `unshare(2)` or `setns(2)` failed, or no thread could be had for it.
    #[error("can't {what} a network namespace")]
    Namespace {
        /// The attempt.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// Opens the namespace mounted on `path`, or makes one and mounts it there.
///
/// A file without a mount is what a reboot or a death halfway leaves; it is used again.
pub(crate) fn open_or_create(path: &Path) -> Result<OwnedFd, NetnsError> {
    if !is_mounted(path) {
        make_file(path)?;
        create(path)?;
    }
    open(path)
}

/// Whether a fabric's namespace is there; a file alone is what a reboot leaves.
pub fn is_made(path: &Path) -> bool {
    is_mounted(path)
}

/// Whether it is this namespace that is mounted on `path`.
pub(crate) fn is_mounted_on(netns: BorrowedFd<'_>, path: &Path) -> bool {
    let identity = |file: BorrowedFd<'_>| rustix::fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
    let there = File::open(path).ok().and_then(|file| identity(file.as_fd()).ok());
    there.is_some_and(|there| identity(netns).is_ok_and(|own| own == there))
}

/// Mounts the namespace on `path` again, in the place of what is there.
pub(crate) fn pin(netns: BorrowedFd<'_>, path: &Path) -> Result<(), NetnsError> {
    remove(path)?;
    make_file(path)?;
    let own = format!("/proc/self/fd/{}", netns.as_raw_fd());
    rustix::mount::mount_bind(own, path).map_err(|source| file("mount the namespace on", path, source.into()))
}

/// The namespace of the calling thread.
pub(crate) fn current() -> Result<OwnedFd, NetnsError> {
    open(Path::new("/proc/thread-self/ns/net"))
}

/// Gives up the name: unmounts and removes the file. What is already gone is no error.
pub(crate) fn remove(path: &Path) -> Result<(), NetnsError> {
    // Several mounts may lie on one another when two processes raced; each has its own namespace.
    while is_mounted(path) {
        rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .map_err(|source| file("unmount", path, source.into()))?;
    }
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(file("remove", path, source)),
        _ => Ok(()),
    }
}

/// Runs `work` inside `netns`, on a thread kept for that, and waits for it.
pub(crate) fn enter<T: Send + 'static>(
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NetnsError> {
    workers::run(netns, work).map_err(|source| NetnsError::Namespace { what: "enter", source })
}

fn create(path: &Path) -> Result<(), NetnsError> {
    on_own_thread("make", || {
        // SAFETY: a new network namespace changes nothing that other code relies on for soundness (no
        // descriptor is closed, no memory unshared), and the thread ends right after.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
        rustix::mount::mount_bind("/proc/thread-self/ns/net", path)?;
        Ok(())
    })
}

fn on_own_thread<T: Send>(
    what: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> Result<T, NetnsError> {
    let namespace = |source| NetnsError::Namespace { what, source };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("hoist-netns".to_owned())
            .spawn_scoped(scope, work)
            .map_err(namespace)?;
        match thread.join() {
            Ok(result) => result.map_err(namespace),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn make_file(path: &Path) -> Result<(), NetnsError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| file("make the folder of", path, source))?;
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o444)
        .open(path)
        .map(drop)
        .map_err(|source| file("make", path, source))
}

fn open(path: &Path) -> Result<OwnedFd, NetnsError> {
    File::open(path).map(OwnedFd::from).map_err(|source| file("open", path, source))
}

fn is_mounted(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| is_namespace(file.as_fd()))
}

fn is_namespace(file: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|stat| i128::from(stat.f_type) == i128::from(NSFS_MAGIC))
}

fn file(what: &'static str, path: &Path, source: io::Error) -> NetnsError {
    NetnsError::File { what, path: path.to_owned(), source }
}
