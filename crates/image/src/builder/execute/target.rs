//! The tree that a step writes to.
//!
//! Links on the way are followed as the image's own `/` would have them; each thing is then made in a directory that
//! openat2(2) opened inside the root, so nothing can land elsewhere.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::StepError;
use super::mounted::Mounted;
use super::tree::{self, Files as _, Kind, Node, Resolved};

const PIECE: usize = 256 << 10;

/// Who and how a file is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Now, when none.
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) tree: Mounted,
}

impl Target {
    pub(super) fn new(tree: Mounted) -> Self {
        Self { tree }
    }

    pub(super) fn resolve(&self, path: &Path) -> Result<Resolved, StepError> {
        tree::resolve(&self.tree, path, true)
    }

    /// Makes the directory at `path` and those on the way, as far as they are missing; says where it is.
    pub(super) fn folders(&self, path: &Path, owner: (u32, u32)) -> Result<PathBuf, StepError> {
        let Resolved { path: whole, node } = self.resolve(path)?;
        match node.map(|node| node.kind) {
            Some(Kind::Directory) => return Ok(whole),
            Some(_) => return Err(StepError::Refused(format!("/{} is not a directory", whole.display()))),
            None => {}
        }
        let parts: Vec<&OsStr> = whole.iter().collect();
        let mut at = PathBuf::new();
        for part in parts {
            at.push(part);
            match self.tree.node(&at)?.map(|node| node.kind) {
                Some(Kind::Directory) => continue,
                Some(_) => return Err(StepError::Refused(format!("/{} is not a directory", at.display()))),
                None => {}
            }
            self.make_directory(&at)?;
            let (uid, gid) = owner;
            self.set(&at, &Attributes { mode: 0o755, uid, gid, ..Attributes::default() })?;
        }
        Ok(whole)
    }

    /// Makes a directory, or keeps the one that is there; says whether it is new.
    pub(super) fn directory(&self, path: &Path) -> Result<bool, StepError> {
        match self.tree.node(path)?.map(|node| node.kind) {
            Some(Kind::Directory) => Ok(false),
            Some(_) => {
                Err(StepError::Refused(format!("a directory can't replace the file /{}", path.display())))
            }
            None => self.make_directory(path).map(|()| true),
        }
    }

    fn make_directory(&self, path: &Path) -> Result<(), StepError> {
        let (parent, name) = self.parent(path)?;
        fs::mkdirat(parent, &name, Mode::from_raw_mode(0o755)).map_err(StepError::errno("making", path))
    }

    /// Writes a file; what was there gives way, unless it is a directory.
    pub(super) fn file(
        &self,
        path: &Path,
        attributes: &Attributes,
        mut content: impl Read,
    ) -> Result<(), StepError> {
        let mut file = File::from(self.create(path)?);
        let mut buffer = vec![0; PIECE];
        loop {
            let read = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StepError::io("reading", path)(error)),
            };
            file.write_all(&buffer[..read]).map_err(StepError::io("writing", path))?;
        }
        self.set(path, attributes)
    }

    /// Makes an empty file, to be written to.
    pub(super) fn create(&self, path: &Path) -> Result<OwnedFd, StepError> {
        let (parent, name) = self.clear(path)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(parent, &name, flags, Mode::from_raw_mode(0o600)).map_err(StepError::errno("making", path))
    }

    pub(super) fn symlink(&self, path: &Path, to: &Path) -> Result<(), StepError> {
        let (parent, name) = self.clear(path)?;
        fs::symlinkat(to, parent, &name).map_err(StepError::errno("making", path))
    }

    pub(super) fn hard_link(&self, path: &Path, to: &Path) -> Result<(), StepError> {
        let (from, target) = self.parent(to)?;
        let (parent, name) = self.clear(path)?;
        fs::linkat(from, &target, parent, &name, AtFlags::empty()).map_err(StepError::errno("linking", path))
    }

    /// Makes a FIFO or device.
    pub(super) fn special(&self, path: &Path, kind: Kind, device: u64) -> Result<(), StepError> {
        let kind = match kind {
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            Kind::Fifo | Kind::File | Kind::Directory | Kind::Symlink | Kind::Socket => FileType::Fifo,
        };
        let (parent, name) = self.clear(path)?;
        let made = fs::mknodat(parent, &name, kind, Mode::from_raw_mode(0o600), device);
        made.map_err(StepError::errno("making", path))
    }

    /// Sets attributes; a link's own, not its target's.
    pub(super) fn set(&self, path: &Path, attributes: &Attributes) -> Result<(), StepError> {
        let failed = |action| StepError::errno(action, path);
        let file = self.tree.at(path, OFlags::PATH | OFlags::NOFOLLOW).map_err(failed("opening"))?;
        let Attributes { mode, uid, gid, mtime, xattrs } = attributes;
        let owner = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
        fs::chownat(&file, "", owner.0, owner.1, AtFlags::EMPTY_PATH)
            .map_err(failed("setting the owner of"))?;
        let through = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        let link = fs::statat(&file, "", AtFlags::EMPTY_PATH).map_err(failed("looking at"))?;
        let link = FileType::from_raw_mode(link.st_mode) == FileType::Symlink;
        for (key, value) in xattrs {
            match fs::setxattr(&through, &key[..], value, XattrFlags::empty()) {
                // What the file system here can't keep; a build goes on, as others' do.
                Err(Errno::NOTSUP | Errno::PERM) => {}
                other => other.map_err(failed("setting an extended attribute of"))?,
            }
        }
        if !link {
            // After the owner, whose change takes set-id bits away.
            fs::chmod(&through, Mode::from_raw_mode(*mode)).map_err(failed("setting the mode of"))?;
        }
        mtime.map_or(Ok(()), |mtime| self.set_time(path, mtime))
    }

    pub(super) fn set_time(&self, path: &Path, (seconds, nanoseconds): (i64, u32)) -> Result<(), StepError> {
        let failed = |action| StepError::errno(action, path);
        let file = self.tree.at(path, OFlags::PATH | OFlags::NOFOLLOW).map_err(failed("opening"))?;
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
        let times = Timestamps { last_access: time, last_modification: time };
        fs::utimensat(&file, "", &times, AtFlags::EMPTY_PATH).map_err(failed("setting the time of"))
    }

    fn parent(&self, path: &Path) -> Result<(OwnedFd, OsString), StepError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(StepError::Refused("the root of an image is a directory".to_owned()));
        };
        if name.as_encoded_bytes().starts_with(b".wh.") {
            let text = format!("/{}: names that begin with .wh. hide files in an image", path.display());
            return Err(StepError::Refused(text));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let parent =
            self.tree.at(parent, flags).map_err(StepError::errno("opening the directory of", path))?;
        Ok((parent, name.to_owned()))
    }

    /// The place for something that is no directory.
    fn clear(&self, path: &Path) -> Result<(OwnedFd, OsString), StepError> {
        let (parent, name) = self.parent(path)?;
        match fs::unlinkat(&parent, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok((parent, name)),
            Err(Errno::ISDIR) => {
                Err(StepError::Refused(format!("a file can't replace the directory /{}", path.display())))
            }
            Err(errno) => Err(StepError::errno("replacing", path)(errno)),
        }
    }
}

impl Attributes {
    /// A node's own.
    pub(super) fn of(node: &Node) -> Self {
        let Node { mode, uid, gid, mtime, xattrs, .. } = node;
        Self { mode: *mode, uid: *uid, gid: *gid, mtime: Some(*mtime), xattrs: xattrs.clone() }
    }
}
