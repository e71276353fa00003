//! A folder of this host as a context.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

use super::super::execute::{Kind, mounted};
use super::{Entry, Folder, Take};

/// A folder that this process can read itself.
#[derive(Clone, Debug)]
pub struct Local(pub PathBuf);

impl Local {
    /// The path of something inside; a way out is none.
    fn inside(&self, path: &Path) -> io::Result<PathBuf> {
        let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if plain { Ok(self.0.join(path)) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }
}

impl Folder for Local {
    fn list(&self, folders: &[PathBuf]) -> io::Result<Vec<Vec<Entry>>> {
        let list =
            |folder: &PathBuf| fs::read_dir(self.inside(folder)?)?.map(|entry| describe(&entry?)).collect();
        folders.iter().map(list).collect()
    }

    fn read(&self, files: &[PathBuf], take: &mut Take<'_>) -> io::Result<()> {
        let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed();
        for (number, path) in files.iter().enumerate() {
            let mut file = File::options().read(true).custom_flags(flags).open(self.inside(path)?)?;
            take(number, &mut file)?;
        }
        Ok(())
    }
}

fn describe(entry: &fs::DirEntry) -> io::Result<Entry> {
    let meta = entry.metadata()?;
    let kind = match meta.file_type() {
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_symlink() => Kind::Symlink,
        kind if kind.is_fifo() => Kind::Fifo,
        kind if kind.is_socket() => Kind::Socket,
        kind if kind.is_char_device() => Kind::CharDevice,
        kind if kind.is_block_device() => Kind::BlockDevice,
        _ => Kind::File,
    };
    let nanoseconds = |time: i64| u32::try_from(time).unwrap_or(0);
    Ok(Entry {
        name: entry.file_name(),
        kind,
        mode: meta.mode() & 0o7777,
        size: meta.len(),
        mtime: (meta.mtime(), nanoseconds(meta.mtime_nsec())),
        ctime: (meta.ctime(), nanoseconds(meta.ctime_nsec())),
        device: meta.dev(),
        inode: meta.ino(),
        link: if kind == Kind::Symlink { Some(fs::read_link(entry.path())?) } else { None },
        several: kind == Kind::File && meta.nlink() > 1,
        number: meta.rdev(),
        xattrs: match kind {
            Kind::File | Kind::Directory => xattrs(&entry.path())?,
            _ => Vec::new(),
        },
    })
}

/// A person's own extended attributes; the others tell of this machine, or give privileges.
fn xattrs(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut all = mounted::xattrs(&rustix::fs::open(path, flags, rustix::fs::Mode::empty())?)?;
    all.retain(|(name, _)| name.starts_with(b"user."));
    Ok(all)
}
