//! Opening and creating inside the root file system, from the child: confined and without allocation.
//!
//! The image decides what is a symbolic link, and a container that shares a volume can swap one in at any
//! moment (CVE-2021-30465). So no path inside the root is ever resolved twice: it is resolved once, by
//! `openat2` with RESOLVE_IN_ROOT, to a descriptor, and the descriptor is what is mounted on. Magic links
//! (`/proc/PID/fd/7`, `/proc/PID/cwd`) are refused throughout: they jump out of any root (CVE-2024-21626).

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2, readlinkat_raw};
use rustix::io::Errno;
use rustix::path::Arg;

/// Longest path, with its NUL: `PATH_MAX`.
const PATH_MAX: usize = 4096;
/// As many symbolic links as the kernel follows in one path.
const MAX_LINKS: usize = 40;
/// How often a resolution that was disturbed is begun anew.
const MAX_TRIES: usize = 128;

/// What a missing last component is created as. An existing one is taken as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    Directory,
    File,
}

/// Opens a path of the root.
pub(crate) fn open(root: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    resolve(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens a path below a directory as a place. A link or ".." that leads out of the directory is an error.
pub(crate) fn beneath(directory: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    resolve(directory, path, OFlags::PATH, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
}

/// Tries again when something was renamed or mounted anywhere while ".." was walked: the kernel can't tell then
/// whether the path stays inside (openat2(2), EAGAIN). Not for ever: a container can rename without end.
pub(crate) fn resolve(
    root: BorrowedFd<'_>,
    path: impl Arg + Copy,
    flags: OFlags,
    confined: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let mut tries = 0;
    loop {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), confined) {
            Err(Errno::AGAIN) if tries < MAX_TRIES => tries += 1,
            opened => return opened,
        }
    }
}

/// Opens a path of the root as a place, without reading or writing it.
pub(crate) fn locate(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    open(root, path, OFlags::PATH)
}

/// Opens a path of the root as a place; no part of it may be a symbolic link.
pub(crate) fn locate_plain(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    resolve(root, path, OFlags::PATH, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

/// Opens a path of the root as a place; what is missing of it is created, with the owner of the caller and
/// mode 0755. A dangling symbolic link is followed to where it points *inside the root*.
pub(crate) fn create(root: BorrowedFd<'_>, path: &CStr, leaf: Leaf) -> Result<OwnedFd, Errno> {
    match locate(root, path) {
        Err(Errno::NOENT) => make(root, path, leaf),
        found => found,
    }
}

/// As [`create`], for a path that was not there a moment ago.
pub(crate) fn make(root: BorrowedFd<'_>, path: &CStr, leaf: Leaf) -> Result<OwnedFd, Errno> {
    let mut walk = Walk::new(path)?;
    // By far most often only the last part is missing.
    match walk.make_last(root, leaf) {
        Err(Errno::NOENT | Errno::EXIST) => Walk::new(path)?.run(root, leaf),
        made => made,
    }
}

/// What a descriptor refers to.
pub(crate) fn kind(fd: impl AsFd) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode))
}

/// A path being created component by component.
struct Walk {
    /// What exists, as an absolute path of the root.
    done: PathBuffer,
    /// What is still to be walked.
    rest: PathBuffer,
}

impl Walk {
    fn new(path: &CStr) -> Result<Self, Errno> {
        let mut walk = Self { done: PathBuffer::new(), rest: PathBuffer::new() };
        walk.done.push(b"/")?;
        walk.rest.push(path.to_bytes())?;
        Ok(walk)
    }

    /// Makes the last component, where the directory that it belongs to exists.
    fn make_last(&mut self, root: BorrowedFd<'_>, leaf: Leaf) -> Result<OwnedFd, Errno> {
        let mut name = PathBuffer::new();
        self.rest.split_last(&mut name)?;
        let parent = locate(root, self.rest.c_str()?)?;
        make_in(parent.as_fd(), name.c_str()?, leaf)
    }

    fn run(mut self, root: BorrowedFd<'_>, leaf: Leaf) -> Result<OwnedFd, Errno> {
        let mut here = locate(root, c"/")?;
        let mut links = 0;
        let mut name = PathBuffer::new();
        while self.rest.take_component(&mut name)? {
            let parent_length = self.done.length;
            self.done.push(b"/")?;
            self.done.push(name.bytes())?;
            here = match locate(root, self.done.c_str()?) {
                Err(Errno::NOENT) => {
                    let leaf = if self.rest.is_finished() { leaf } else { Leaf::Directory };
                    match make_in(here.as_fd(), name.c_str()?, leaf) {
                        Ok(made) => made,
                        // It exists after all, and yet can't be opened: a dangling link, or another's work
                        // of this moment. Either way what is there now is walked.
                        Err(Errno::EXIST) => {
                            links += 1;
                            if links > MAX_LINKS {
                                return Err(Errno::LOOP);
                            }
                            self.done.truncate(parent_length);
                            self.follow(here.as_fd(), &mut name)?;
                            locate(root, self.done.c_str()?)?
                        }
                        Err(errno) => return Err(errno),
                    }
                }
                found => found?,
            };
        }
        Ok(here)
    }

    /// Puts the target of the link `name` before the rest of the way.
    fn follow(&mut self, parent: BorrowedFd<'_>, name: &mut PathBuffer) -> Result<(), Errno> {
        let mut target = PathBuffer::new();
        match target.read_link(parent, name.c_str()?) {
            Ok(()) => {}
            // No link: made by somebody else just now. Walk it again under its own name.
            Err(Errno::INVAL) => target.push(name.bytes())?,
            Err(errno) => return Err(errno),
        }
        if target.bytes().first() == Some(&b'/') {
            self.done.truncate(1);
        }
        target.push(b"/")?;
        target.push(self.rest.bytes())?;
        self.rest = target;
        Ok(())
    }
}

/// Makes one component and opens it; never follows a link of that name.
fn make_in(parent: BorrowedFd<'_>, name: &CStr, leaf: Leaf) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_raw_mode(0o755);
    match leaf {
        Leaf::Directory => {
            mkdirat(parent, name, mode)?;
            openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        }
        Leaf::File => {
            let exclusive = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(parent, name, exclusive | OFlags::WRONLY, mode)
        }
    }
}

/// A path on the stack. One byte is kept free, so that it can always become a C string.
struct PathBuffer {
    bytes: [u8; PATH_MAX],
    start: usize,
    length: usize,
}

impl PathBuffer {
    const fn new() -> Self {
        Self { bytes: [0; PATH_MAX], start: 0, length: 0 }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..self.length).unwrap_or_default()
    }

    fn is_finished(&self) -> bool {
        self.bytes().iter().all(|byte| *byte == b'/')
    }

    fn truncate(&mut self, length: usize) {
        self.length = length.min(self.length);
    }

    fn push(&mut self, more: &[u8]) -> Result<(), Errno> {
        let end = self.length + more.len();
        if end >= PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        self.bytes.get_mut(self.length..end).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(more);
        self.length = end;
        Ok(())
    }

    fn c_str(&mut self) -> Result<&CStr, Errno> {
        *self.bytes.get_mut(self.length).ok_or(Errno::NAMETOOLONG)? = 0;
        let with_nul = self.bytes.get(self.start..=self.length).ok_or(Errno::NAMETOOLONG)?;
        CStr::from_bytes_with_nul(with_nul).map_err(|_| Errno::INVAL)
    }

    /// Moves the next component into `name`; false when there is none.
    fn take_component(&mut self, name: &mut Self) -> Result<bool, Errno> {
        let slashes = self.bytes().iter().take_while(|byte| **byte == b'/').count();
        self.start += slashes;
        let length = self.bytes().iter().take_while(|byte| **byte != b'/').count();
        name.length = 0;
        name.push(self.bytes().get(..length).unwrap_or_default())?;
        self.start += length;
        Ok(length > 0)
    }

    /// Moves the last component into `name`, and leaves the directory that it is in.
    fn split_last(&mut self, name: &mut Self) -> Result<(), Errno> {
        let is_end = |byte: &&u8| **byte == b'/';
        let end = self.length - self.bytes().iter().rev().take_while(is_end).count();
        self.truncate(end);
        let length = self.bytes().iter().rev().take_while(|byte| **byte != b'/').count();
        let start = self.length - length;
        name.length = 0;
        name.push(self.bytes.get(start..self.length).ok_or(Errno::NAMETOOLONG)?)?;
        self.truncate(start);
        // The root, for a name that is in it or stands alone.
        if start == 0 { self.push(b"/") } else { Ok(()) }
    }

    fn read_link(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        let room = self.bytes.get_mut(..PATH_MAX - 1).ok_or(Errno::NAMETOOLONG)?;
        self.length = readlinkat_raw(parent, name, room)?;
        Ok(())
    }
}
