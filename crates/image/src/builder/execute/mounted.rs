//! A tree that is mounted here: a stage, an image, the result of a step.
//!
//! Every path is resolved by openat2(2) with the tree's root as `/`, so nothing outside can be read.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::StepError;
use super::tree::{self, Files, Kind, Node};
use crate::digest::Digest;

/// Names and values.
pub(in crate::builder) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// The root of a merged view, held by its descriptor.
#[derive(Debug)]
pub(super) struct Mounted {
    root: OwnedFd,
}

impl Mounted {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    /// A plain directory as a tree.
    pub(super) fn directory(path: &Path) -> Result<Self, StepError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(path, flags, Mode::empty()).map_err(StepError::errno("opening", path))?;
        Ok(Self { root })
    }

    /// Opens what stands at `path`, inside.
    pub(super) fn at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // A rename elsewhere raced with `..`.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }
}

impl Files for Mounted {
    fn node(&self, path: &Path) -> Result<Option<Node>, StepError> {
        match self.at(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(StepError::errno("looking at", path)(errno)),
            Ok(file) => look(&file).map(Some).map_err(StepError::errno("looking at", path)),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<(OsString, Node)>, StepError> {
        let failed = || StepError::errno("listing", path);
        let directory =
            self.at(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW).map_err(failed())?;
        let mut nodes = Vec::new();
        for entry in Dir::read_from(&directory).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = fs::openat(&directory, name, flags, Mode::empty()).map_err(failed())?;
            nodes.push((name.to_owned(), look(&file).map_err(failed())?));
        }
        nodes.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(nodes)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send + '_>, StepError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = self.at(path, flags).map_err(StepError::errno("opening", path))?;
        Ok(Box::new(File::from(file)))
    }

    fn content(&self, path: &Path) -> Result<Digest, StepError> {
        tree::digest(self.open(path)?).map_err(StepError::io("reading", path))
    }
}

/// What an open file is.
fn look(file: &OwnedFd) -> Result<Node, Errno> {
    let stat = fs::statat(file, "", AtFlags::EMPTY_PATH)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::Socket => Kind::Socket,
        FileType::RegularFile | FileType::Unknown => Kind::File,
    };
    let link = match kind {
        Kind::Symlink => {
            let target = fs::readlinkat(file, "", Vec::new())?;
            Some(OsString::from_vec(target.into_bytes()).into())
        }
        _ => None,
    };
    let hard = kind == Kind::File && stat.st_nlink > 1;
    Ok(Node {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        link,
        device: stat.st_rdev,
        hard: hard.then_some((stat.st_dev, stat.st_ino)),
        xattrs: xattrs(file)?,
    })
}

/// Extended attributes, overlayfs's own apart. Through /proc: O_PATH descriptors have no other way.
pub(in crate::builder) fn xattrs(file: &OwnedFd) -> Result<Xattrs, Errno> {
    use std::os::fd::AsRawFd as _;
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let length = match names(&path) {
        Err(Errno::NOTSUP | Errno::PERM | Errno::NOENT) => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for name in length.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        let length = fs::getxattr(&path, name, &mut value[..])?;
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

fn names(path: &str) -> Result<Vec<u8>, Errno> {
    let mut names = Vec::new();
    // Asked for the length first: hardly any file has one.
    let length = fs::listxattr_query(path)?;
    if length > 0 {
        names.resize(length, 0);
        let length = fs::listxattr(path, &mut names[..])?;
        names.truncate(length);
    }
    Ok(names)
}
