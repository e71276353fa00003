//! Reads what steps ask for, as the user, and nothing outside the folders that the stack file names.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use hoist_wire::build::{Ask, Attribute, BuildIn, FileEntry, FileKind, Folder, Listing, Piece, Refusal};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use tokio::sync::mpsc::Sender;

/// Bytes of one message.
const PIECE: usize = 256 << 10;
/// The most that Linux has for an attribute's value, and for a file's list of names (xattr(7)).
const XATTRS: usize = 64 << 10;

/// Answers one question. When nobody listens any more, the build is over.
pub(super) fn answer(folders: &BTreeMap<String, PathBuf>, ask: &Ask, read: bool, out: &Sender<BuildIn>) {
    let answered =
        folders.get(&ask.context).ok_or_else(|| io::ErrorKind::NotFound.into()).and_then(|folder| {
            let root =
                rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            if read { contents(&root, ask, out) } else { list(&root, ask, out) }
        });
    if let Err(error) = answered {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let _ =
            out.blocking_send(BuildIn::Refusal(Refusal { ask: ask.ask, text: error.to_string(), missing }));
    }
}

fn list(root: &OwnedFd, ask: &Ask, out: &Sender<BuildIn>) -> io::Result<()> {
    let folders = ask.paths.iter().map(|path| folder(root, path)).collect::<io::Result<_>>()?;
    let _ = out.blocking_send(BuildIn::Listing(Listing { ask: ask.ask, folders }));
    Ok(())
}

fn contents(root: &OwnedFd, ask: &Ask, out: &Sender<BuildIn>) -> io::Result<()> {
    for path in &ask.paths {
        let name = Path::new(OsStr::from_bytes(path)).display().to_string();
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
        let mut file = File::from(open(root, path, OFlags::RDONLY | OFlags::NONBLOCK).map_err(told)?);
        loop {
            let mut data = Vec::with_capacity(PIECE);
            (&mut file).take(PIECE as u64).read_to_end(&mut data).map_err(told)?;
            let last = data.len() < PIECE;
            if out.blocking_send(BuildIn::Piece(Piece { ask: ask.ask, data: data.into(), last })).is_err() {
                return Ok(());
            }
            if last {
                break;
            }
        }
    }
    Ok(())
}

/// Opens what stands at `path` below the folder; its links lead nowhere.
fn open(root: &OwnedFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

fn folder(root: &OwnedFd, path: &[u8]) -> io::Result<Folder> {
    let directory = open(root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut entries = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            entries.push(describe(&directory, name)?);
        }
    }
    Ok(Folder { entries })
}

fn describe(directory: &OwnedFd, name: &[u8]) -> io::Result<FileEntry> {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::RegularFile | FileType::Unknown => FileKind::File,
    };
    let link = match kind {
        FileKind::Symlink => {
            std::ffi::OsString::from_vec(rustix::fs::readlinkat(directory, name, Vec::new())?.into_bytes())
        }
        _ => std::ffi::OsString::new(),
    };
    Ok(FileEntry {
        name: name.to_vec().into(),
        kind: kind.into(),
        mode: stat.st_mode & 0o7777,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: stat.st_mtime,
        mtime_nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        ctime: stat.st_ctime,
        ctime_nanoseconds: u32::try_from(stat.st_ctime_nsec).unwrap_or(0),
        device: stat.st_dev,
        inode: stat.st_ino,
        link: link.into_vec().into(),
        several: kind == FileKind::File && stat.st_nlink > 1,
        number: stat.st_rdev,
        attributes: match kind {
            FileKind::File | FileKind::Directory => attributes(directory, name)?,
            _ => Vec::new(),
        },
    })
}

/// A person's own extended attributes; the others tell of this machine, or give privileges.
fn attributes(directory: &OwnedFd, name: &[u8]) -> io::Result<Vec<Attribute>> {
    let path = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat();
    let mut names = vec![0; XATTRS];
    let length = match rustix::fs::llistxattr(&path[..], &mut names[..]) {
        Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
        listed => listed?,
    };
    let own = names[..length].split(|&byte| byte == 0).filter(|name| name.starts_with(b"user."));
    let attribute = |name: &[u8]| {
        let mut value = vec![0; XATTRS];
        let length = rustix::fs::lgetxattr(&path[..], name, &mut value[..])?;
        value.truncate(length);
        Ok(Attribute { name: name.to_vec().into(), value: value.into() })
    };
    own.map(attribute).collect()
}
