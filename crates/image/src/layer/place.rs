//! A directory tree that nothing can be placed outside of.
//!
//! Every path is resolved by the kernel, with openat2(2) and the tree's root as `/`: a link that
//! points up or to an absolute place ends inside, also if it was swapped in a moment ago. The last
//! part of a path is never followed.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::fault::Fault;

pub(super) const OPAQUE: &str = "trusted.overlay.opaque";
/// openat2 reports EAGAIN when a rename elsewhere raced with `..`; more retries than ever needed.
const RETRIES: usize = 128;

#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// Directories that entries are in but no entry made; "" is the root.
    pub(super) implied: BTreeSet<Vec<u8>>,
    /// The directory entered last: entries of one directory usually follow each other.
    entered: Option<(Vec<u8>, OwnedFd)>,
}

/// What making a directory found at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    New,
    Kept,
    /// Something that is no directory.
    InTheWay,
}

impl Tree {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let implied = BTreeSet::from([Vec::new()]);
        Ok(Self { root: fs::open(root, flags, Mode::empty())?, implied, entered: None })
    }

    /// Opens the directory at `path` for changing its attributes.
    pub(super) fn directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)
    }

    /// Opens the directory at `path` for placing things in it.
    pub(super) fn place(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.resolve(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    fn resolve(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { &b"."[..] } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let open = || fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
        (0..RETRIES)
            .map(|_| open())
            .find(|result| !matches!(result, Err(Errno::AGAIN)))
            .unwrap_or(Err(Errno::AGAIN))
    }

    /// Enters the directory at `path`. Directories that no entry made yet are made and count as
    /// implied; the path's own links are followed inside the tree.
    pub(super) fn enter(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Fault> {
        let same = self.entered.as_ref().is_some_and(|(entered, _)| entered == path);
        if !same {
            let fd = match self.place(path) {
                Err(Errno::NOENT | Errno::NOTDIR) => self.make_way(path)?,
                other => other.map_err(|errno| Fault::Io("entering its directory", errno))?,
            };
            self.entered = Some((path.to_vec(), fd));
        }
        let (_, fd) = self.entered.as_ref().expect("entered just above");
        Ok(fd.as_fd())
    }

    fn make_way(&mut self, path: &[u8]) -> Result<OwnedFd, Fault> {
        let failed = |errno| Fault::Io("making its directory", errno);
        let mut parent = self.place(b"").map_err(failed)?;
        let mut start = 0;
        while start < path.len() {
            let end = path[start..].iter().position(|&b| b == b'/').map_or(path.len(), |slash| start + slash);
            parent = match self.place(&path[..end]) {
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    if make_directory(parent.as_fd(), &path[start..end]).map_err(failed)? == Made::InTheWay {
                        return Err(Fault::Refused("a part of its path is not a directory"));
                    }
                    self.implied.insert(path[..end].to_vec());
                    self.place(&path[..end]).map_err(failed)?
                }
                other => other.map_err(failed)?,
            };
            start = end + 1;
        }
        Ok(parent)
    }

    /// Removes what stands at `name`; says whether it was a directory.
    pub(super) fn clear(&mut self, path: &[u8], name: &[u8]) -> Result<bool, Fault> {
        let failed = |errno| Fault::Io("replacing what was there", errno);
        let parent = self.enter(path)?;
        match fs::unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                // The directory entered may be inside the one that goes.
                let whole = through(parent, name);
                std::fs::remove_dir_all(whole).map_err(|error| failed(errno_of(&error)))?;
                self.entered = None;
                Ok(true)
            }
            other => other.map(|()| false).map_err(failed),
        }
    }
}

/// Makes a directory; a whiteout in its place becomes opacity, which says the same of a directory.
pub(super) fn make_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Made, Errno> {
    let mode = Mode::from_raw_mode(0o755);
    match fs::mkdirat(parent, name, mode) {
        Ok(()) => Ok(Made::New),
        Err(Errno::EXIST) => match standing(parent, name)? {
            Standing::Directory => Ok(Made::Kept),
            Standing::Other => Ok(Made::InTheWay),
            Standing::Whiteout => {
                fs::unlinkat(parent, name, AtFlags::empty())?;
                fs::mkdirat(parent, name, mode)?;
                set_opaque(parent, name)?;
                Ok(Made::New)
            }
        },
        Err(errno) => Err(errno),
    }
}

/// Hides what lower layers have at `name`. What this layer itself has there stays.
pub(super) fn white_out(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
        Err(Errno::EXIST) => match standing(parent, name)? {
            Standing::Directory => set_opaque(parent, name),
            Standing::Whiteout | Standing::Other => Ok(()),
        },
        other => other,
    }
}

enum Standing {
    Directory,
    Whiteout,
    Other,
}

fn standing(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Standing, Errno> {
    let stat = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Standing::Directory,
        _ if is_whiteout(&stat) => Standing::Whiteout,
        _ => Standing::Other,
    })
}

pub(super) fn is_whiteout(stat: &fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn set_opaque(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    set_xattr(parent, name, OPAQUE.as_bytes(), b"y")
}

/// Sets an extended attribute of `name` itself, a link included.
pub(super) fn set_xattr(parent: BorrowedFd<'_>, name: &[u8], key: &[u8], value: &[u8]) -> Result<(), Errno> {
    fs::lsetxattr(through(parent, name), key, value, fs::XattrFlags::empty())
}

/// A path to `name` for the calls that take no directory descriptor.
fn through(parent: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    let parent = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd()));
    parent.join(std::ffi::OsStr::from_bytes(name))
}

pub(super) fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
