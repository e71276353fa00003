//! From tar entries to a directory as overlayfs wants it.
//!
//! Owns what an entry means: whiteouts (OCI image specification, "Layer", section Whiteouts),
//! replacement of earlier entries, links. `attributes` sets content and attributes; `place` owns how a
//! path is reached.
//! Attributes of directories come last, since each thing placed inside changes their times.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::attributes::{check_xattrs, set_xattrs, times, umask, write_content};
use super::fault::{ExtractError, Fault};
use super::place::{Made, OPAQUE, Tree, is_whiteout, make_directory, set_xattr, white_out};
use super::tar::{Entry, Kind, TarReader};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE_MARK: &[u8] = b".wh..wh..opq";
/// Other names that start so are notes of AUFS, the first of Docker's storage drivers.
const AUFS: &[u8] = b".wh..wh.";
const SET_ID_OR_STICKY: u32 = 0o7000;

/// What was extracted.
#[derive(Debug, Default)]
pub(super) struct Extracted {
    pub(super) entries: u64,
    /// Bytes of file content.
    pub(super) bytes: u64,
    /// Directories that entries are in but no entry describes; "" is the root.
    pub(super) implied: BTreeSet<Vec<u8>>,
    /// Extended attributes that the file system can't keep, by name.
    pub(super) lost_xattrs: BTreeSet<String>,
}

/// Attributes of a directory, set when all is in place.
#[derive(Debug)]
struct Directory {
    mode: u32,
    owner: (u32, u32),
    times: Timestamps,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug)]
pub(super) struct Extractor {
    tree: Tree,
    directories: BTreeMap<Vec<u8>, Directory>,
    extracted: Extracted,
    /// Files are made with these; other owners cost a call each.
    own: (u32, u32),
    umask: u32,
}

impl Extractor {
    /// Extracts below `root`, an empty directory.
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Ok(Self {
            tree: Tree::open(root)?,
            directories: BTreeMap::new(),
            extracted: Extracted::default(),
            own,
            umask: umask(),
        })
    }

    pub(super) fn entry(
        &mut self,
        mut entry: Entry,
        content: &mut TarReader<impl BufRead>,
    ) -> Result<(), ExtractError> {
        self.extracted.entries += 1;
        self.extracted.bytes += entry.stored;
        let spelled = std::mem::take(&mut entry.path);
        normal(&spelled)
            .and_then(|path| self.place(&path, entry, content))
            .map_err(|fault| fault.at(&spelled))
    }

    fn place(
        &mut self,
        path: &[u8],
        entry: Entry,
        content: &mut TarReader<impl BufRead>,
    ) -> Result<(), Fault> {
        let (parent, name) = split(path);
        if parent.split(|&b| b == b'/').any(|part| part.starts_with(WHITEOUT)) {
            return Err(Fault::Refused("it lies below a whiteout"));
        }
        if name.starts_with(WHITEOUT) {
            return self.mark(parent, name);
        }
        check_xattrs(&entry.xattrs)?;
        match entry.kind {
            Kind::Directory => self.directory(path, entry),
            _ if path.is_empty() => Err(Fault::Refused("the root of a layer is a directory")),
            Kind::File => self.file(path, &entry, content),
            Kind::HardLink => self.hard_link(path, &entry),
            Kind::Symlink => {
                self.node(path, &entry, |parent, name| fs::symlinkat(&entry.link[..], parent, name))
            }
            Kind::Fifo => {
                self.node(path, &entry, |parent, name| make_node(parent, name, FileType::Fifo, &entry))
            }
            Kind::CharDevice => self.node(path, &entry, |parent, name| {
                make_node(parent, name, FileType::CharacterDevice, &entry)
            }),
            Kind::BlockDevice => {
                self.node(path, &entry, |parent, name| make_node(parent, name, FileType::BlockDevice, &entry))
            }
        }
    }

    fn mark(&mut self, parent: &[u8], name: &[u8]) -> Result<(), Fault> {
        if name == OPAQUE_MARK {
            self.tree.enter(parent)?;
            let failed = |errno| Fault::Io("making its directory opaque", errno);
            let directory = self.tree.directory(parent).map_err(failed)?;
            return fs::fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty()).map_err(failed);
        }
        match &name[WHITEOUT.len()..] {
            _ if name.starts_with(AUFS) => Ok(()),
            b"" | b"." | b".." => Err(Fault::Refused("the whiteout hides no name")),
            hidden => {
                let parent = self.tree.enter(parent)?;
                white_out(parent, hidden).map_err(|errno| Fault::Io("making the whiteout", errno))
            }
        }
    }

    fn directory(&mut self, path: &[u8], entry: Entry) -> Result<(), Fault> {
        if !path.is_empty() {
            self.make(path, |parent, name| match make_directory(parent, name)? {
                Made::InTheWay => Err(Errno::EXIST),
                Made::New | Made::Kept => Ok(()),
            })?;
        }
        self.tree.implied.remove(path);
        let directory = Directory {
            mode: entry.mode,
            owner: (entry.uid, entry.gid),
            times: times(&entry),
            xattrs: entry.xattrs,
        };
        self.directories.insert(path.to_vec(), directory);
        Ok(())
    }

    fn file(
        &mut self,
        path: &[u8],
        entry: &Entry,
        content: &mut TarReader<impl BufRead>,
    ) -> Result<(), Fault> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(entry.mode & !SET_ID_OR_STICKY);
        let file = self.make(path, |parent, name| fs::openat(parent, name, flags, mode))?;
        write_content(&file, entry, content)?;
        if (entry.uid, entry.gid) != self.own {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            fs::fchown(&file, Some(uid), Some(gid)).map_err(|errno| Fault::Io("setting its owner", errno))?;
        }
        // After the owner, which takes capabilities and set-id bits away.
        set_xattrs(&mut self.extracted.lost_xattrs, &entry.xattrs, |key, value| {
            fs::fsetxattr(&file, key, value, XattrFlags::empty())
        })?;
        if entry.mode & (self.umask | SET_ID_OR_STICKY) != 0 {
            let mode = Mode::from_raw_mode(entry.mode);
            fs::fchmod(&file, mode).map_err(|errno| Fault::Io("setting its mode", errno))?;
        }
        fs::futimens(&file, &times(entry)).map_err(|errno| Fault::Io("setting its time", errno))
    }

    fn hard_link(&mut self, path: &[u8], entry: &Entry) -> Result<(), Fault> {
        const MISSING: Fault = Fault::Refused("it is a hard link to what is not in the layer");
        let target =
            normal(&entry.link).map_err(|_| Fault::Refused("it is a hard link to outside the layer"))?;
        let (from, target) = split(&target);
        let from = match self.tree.place(from) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(MISSING),
            other => other.map_err(|errno| Fault::Io("finding its target", errno))?,
        };
        let Ok(stat) = fs::statat(&from, target, AtFlags::SYMLINK_NOFOLLOW) else { return Err(MISSING) };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(Fault::Refused("it is a hard link to a directory"));
        }
        if is_whiteout(&stat) {
            return Err(MISSING);
        }
        self.make(path, |parent, name| match fs::linkat(&from, target, parent, name, AtFlags::empty()) {
            // A link to itself: replacing it would take the target away.
            Err(Errno::EXIST) if is_same(parent, name, &stat) => Ok(()),
            other => other,
        })
    }

    fn node(
        &mut self,
        path: &[u8],
        entry: &Entry,
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<(), Errno>,
    ) -> Result<(), Fault> {
        if entry.link.contains(&0) {
            return Err(Fault::Refused("its target has a NUL in it"));
        }
        self.make(path, make)?;
        let (parent, name) = split(path);
        let parent = self.tree.enter(parent)?;
        if (entry.uid, entry.gid) != self.own {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| Fault::Io("setting its owner", errno))?;
        }
        set_xattrs(&mut self.extracted.lost_xattrs, &entry.xattrs, |key, value| {
            set_xattr(parent, name, key, value)
        })?;
        if entry.kind != Kind::Symlink {
            fs::chmodat(parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                .map_err(|errno| Fault::Io("setting its mode", errno))?;
        }
        fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Fault::Io("setting its time", errno))
    }

    /// Makes something at `path`; what an earlier entry made there gives way.
    fn make<T>(
        &mut self,
        path: &[u8],
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, Fault> {
        let (parent, name) = split(path);
        let failed = |errno| Fault::Io("making it", errno);
        let directory = self.tree.enter(parent)?;
        match make(directory, name) {
            Err(Errno::EXIST) => {}
            other => return other.map_err(failed),
        }
        if self.tree.clear(parent, name)? {
            let below =
                |known: &[u8]| known.strip_prefix(path).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
            self.directories.retain(|known, _| !below(known));
            self.tree.implied.retain(|known| !below(known));
        }
        make(self.tree.enter(parent)?, name).map_err(failed)
    }

    /// Sets what was kept for last, and says what was extracted.
    pub(super) fn finish(mut self) -> Result<Extracted, ExtractError> {
        for (path, directory) in std::mem::take(&mut self.directories) {
            self.finish_directory(&path, &directory).map_err(|fault| fault.at(&path))?;
        }
        // Nobody said when: always the same time, so that a layer always gives the same tree.
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let never = Timestamps { last_access: never, last_modification: never };
        for path in &self.tree.implied {
            let set = self.tree.directory(path).and_then(|fd| fs::futimens(&fd, &never));
            set.map_err(|errno| Fault::Io("setting the directory's time", errno).at(path))?;
        }
        Ok(Extracted { implied: self.tree.implied, ..self.extracted })
    }

    fn finish_directory(&mut self, path: &[u8], directory: &Directory) -> Result<(), Fault> {
        let failed = |errno| Fault::Io("setting the directory's attributes", errno);
        let fd = self.tree.directory(path).map_err(failed)?;
        if directory.owner != self.own {
            let (uid, gid) = directory.owner;
            fs::fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(failed)?;
        }
        set_xattrs(&mut self.extracted.lost_xattrs, &directory.xattrs, |key, value| {
            fs::fsetxattr(&fd, key, value, XattrFlags::empty())
        })?;
        fs::fchmod(&fd, Mode::from_raw_mode(directory.mode)).map_err(failed)?;
        fs::futimens(&fd, &directory.times).map_err(failed)
    }
}

/// The path without empty and `.` parts. Whoever writes `..` means something else than we would make of it.
fn normal(path: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut normal = Vec::with_capacity(path.len());
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(Fault::Refused("its path has `..` in it")),
            _ if part.contains(&0) => return Err(Fault::Refused("its path has a NUL in it")),
            _ if !normal.is_empty() => normal.push(b'/'),
            _ => {}
        }
        normal.extend_from_slice(part);
    }
    Ok(normal)
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn make_node(parent: BorrowedFd<'_>, name: &[u8], kind: FileType, entry: &Entry) -> Result<(), Errno> {
    let (major, minor) = entry.device;
    fs::mknodat(parent, name, kind, Mode::from_raw_mode(entry.mode), fs::makedev(major, minor))
}

fn is_same(parent: BorrowedFd<'_>, name: &[u8], stat: &fs::Stat) -> bool {
    fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|found| (found.st_dev, found.st_ino) == (stat.st_dev, stat.st_ino))
}
