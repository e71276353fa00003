//! Fills a new volume from the image. Works by descriptors alone, of which none was reached over a link: a container
//! that has the volume already may put links into it while this goes on.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use hoist_runtime::rootfs;
use rustix::ffi::CStr;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, mkdirat, mknodat, openat, readlinkat,
    statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::{VolumeError, at};

/// A folder as it is to be read or written in.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A place being copied: in the image, in the volume, and by name for errors.
struct CopiedFolder<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    name: &'a Path,
}

/// Fills an empty volume from the folder `target` of the image, as Docker does: contents with owners, modes, times,
/// capabilities and links, and the folder's own owner and mode. Does nothing when the volume isn't empty or the image
/// has nothing there.
///
/// # Errors
/// When something can't be copied.
pub(crate) fn copy_up(root: BorrowedFd<'_>, target: &Path, data: &Path) -> Result<(), VolumeError> {
    let open = || -> io::Result<OwnedFd> { Ok(openat(CWD, data, FOLDER, Mode::empty())?) };
    let to = open().map_err(at(data))?;
    if !is_empty(&to).map_err(at(data))? {
        return Ok(());
    }
    let inside = target.strip_prefix("/").unwrap_or(target);
    let Ok(from) = rootfs::open(root, inside, OFlags::DIRECTORY) else { return Ok(()) };
    CopiedFolder { from: from.as_fd(), to: to.as_fd(), name: data }.copy_folder()
}

fn is_empty(folder: &OwnedFd) -> io::Result<bool> {
    let mut entries = Dir::read_from(folder)?;
    Ok(entries.all(|entry| entry.is_ok_and(|entry| is_dots(entry.file_name()))))
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

impl CopiedFolder<'_> {
    fn copy_folder(&self) -> Result<(), VolumeError> {
        let failed = |errno: Errno| at(self.name)(errno.into());
        for entry in Dir::read_from(self.from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !is_dots(entry.file_name()) {
                self.copy_entry(entry.file_name())?;
            }
        }
        self.keep_attributes().map_err(failed)
    }

    fn copy_entry(&self, entry: &CStr) -> Result<(), VolumeError> {
        let name: PathBuf = self.name.join(entry.to_string_lossy().as_ref());
        let failed = |errno: Errno| at(&name)(errno.into());
        let meta = statat(self.from, entry, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        match FileType::from_raw_mode(meta.st_mode) {
            FileType::Directory => {
                let (from, to) = self.make_folder(entry).map_err(failed)?;
                CopiedFolder { from: from.as_fd(), to: to.as_fd(), name: &name }.copy_folder()
            }
            FileType::RegularFile => {
                let Some((from, to)) = self.make_file(entry).map_err(failed)? else { return Ok(()) };
                io::copy(&mut &from, &mut &to).map_err(at(&name))?;
                CopiedFolder { from: from.as_fd(), to: to.as_fd(), name: &name }
                    .keep_attributes()
                    .map_err(failed)
            }
            kind => self.make_other(entry, kind, &meta).map_err(failed),
        }
    }

    /// Also one that another instance, which starts at the same time, has made just now.
    fn make_folder(&self, name: &CStr) -> Result<(OwnedFd, OwnedFd), Errno> {
        match mkdirat(self.to, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let open = |parent: BorrowedFd<'_>| openat(parent, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
        Ok((open(self.from)?, open(self.to)?))
    }

    /// None when it is there already.
    fn make_file(&self, name: &CStr) -> Result<Option<(File, File)>, Errno> {
        let common = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let from = openat(self.from, name, OFlags::RDONLY | common, Mode::empty())?;
        let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | common;
        match openat(self.to, name, new, Mode::RUSR | Mode::WUSR) {
            Ok(to) => Ok(Some((from.into(), to.into()))),
            Err(Errno::EXIST) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Links, devices, FIFOs, sockets.
    fn make_other(&self, name: &CStr, kind: FileType, meta: &Stat) -> Result<(), Errno> {
        let made = if kind == FileType::Symlink {
            symlinkat(readlinkat(self.from, name, Vec::new())?, self.to, name)
        } else {
            mknodat(self.to, name, kind, Mode::from_raw_mode(meta.st_mode), meta.st_rdev)
        };
        match made {
            Err(Errno::EXIST) => return Ok(()),
            made => made?,
        }
        let no_follow = AtFlags::SYMLINK_NOFOLLOW;
        let (uid, gid) = (Uid::from_raw(meta.st_uid), Gid::from_raw(meta.st_gid));
        chownat(self.to, name, Some(uid), Some(gid), no_follow)?;
        if kind != FileType::Symlink {
            // The umask took from the mode. By the descriptor: chmod by name would follow a link put there since.
            let node =
                openat(self.to, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            let itself = format!("/proc/self/fd/{}", node.as_raw_fd());
            rustix::fs::chmod(itself, Mode::from_raw_mode(meta.st_mode))?;
        }
        utimensat(self.to, name, &times(meta), no_follow)
    }

    /// Owner first: changing it takes the setuid bits and capabilities that come after it.
    fn keep_attributes(&self) -> Result<(), Errno> {
        let meta = fstat(self.from)?;
        fchown(self.to, Some(Uid::from_raw(meta.st_uid)), Some(Gid::from_raw(meta.st_gid)))?;
        fchmod(self.to, Mode::from_raw_mode(meta.st_mode))?;
        self.keep_xattrs()?;
        futimens(self.to, &times(&meta))
    }

    /// Capabilities and what users have set; the rest belongs to the file system or a security module.
    fn keep_xattrs(&self) -> Result<(), Errno> {
        let mut names = vec![0_u8; 64 << 10];
        let length = match flistxattr(self.from, &mut names[..]) {
            Err(Errno::NOTSUP) => return Ok(()),
            length => length?,
        };
        let names = names.get(..length).unwrap_or_default().split(|byte| *byte == 0);
        for name in names.filter(|name| *name == b"security.capability" || name.starts_with(b"user.")) {
            let mut value = vec![0_u8; 64 << 10];
            let length = fgetxattr(self.from, name, &mut value[..])?;
            match fsetxattr(self.to, name, value.get(..length).unwrap_or_default(), XattrFlags::empty()) {
                Err(Errno::NOTSUP) => {}
                set => set?,
            }
        }
        Ok(())
    }
}

fn times(meta: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or_default(),
    };
    Timestamps {
        last_access: time(meta.st_atime, meta.st_atime_nsec),
        last_modification: time(meta.st_mtime, meta.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn an_empty_volume_takes_the_images_content_once() {
        let image = tempfile::tempdir().unwrap();
        let volume = tempfile::tempdir().unwrap();
        let inside = image.path().join("var/lib/db");
        fs::create_dir_all(inside.join("deep")).unwrap();
        fs::write(inside.join("seed"), "1").unwrap();
        fs::set_permissions(inside.join("seed"), Permissions::from_mode(0o640)).unwrap();
        fs::write(inside.join("deep/file"), "2").unwrap();
        symlink("seed", inside.join("link")).unwrap();
        rustix::fs::mkfifoat(CWD, inside.join("fifo"), Mode::from_raw_mode(0o622)).unwrap();
        fs::set_permissions(&inside, Permissions::from_mode(0o1750)).unwrap();
        let root = File::open(image.path()).unwrap();
        copy_up(root.as_fd(), Path::new("/var/lib/db"), volume.path()).unwrap();
        assert_eq!(fs::read_to_string(volume.path().join("link")).unwrap(), "1");
        assert_eq!(fs::read_to_string(volume.path().join("deep/file")).unwrap(), "2");
        let mode = |name: &str| fs::symlink_metadata(volume.path().join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode(""), mode("seed")), (0o1750, 0o640));
        assert_eq!(
            fs::metadata(volume.path().join("deep/file")).unwrap().mtime_nsec(),
            fs::metadata(inside.join("deep/file")).unwrap().mtime_nsec()
        );
        fs::write(inside.join("seed"), "2").unwrap();
        copy_up(root.as_fd(), Path::new("/var/lib/db"), volume.path()).unwrap();
        assert_eq!(fs::read_to_string(volume.path().join("seed")).unwrap(), "1");
    }

    /// A container that mounts the volume already puts links where folders and files are about to be made.
    #[test]
    fn a_link_in_the_volume_is_never_written_through() {
        let (image, volume, host) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(image.path().join("folder")).unwrap();
        fs::write(image.path().join("folder/inner"), "image").unwrap();
        fs::write(image.path().join("file"), "image").unwrap();
        fs::write(host.path().join("kept"), "host").unwrap();
        symlink(host.path(), volume.path().join("folder")).unwrap();
        symlink(host.path().join("kept"), volume.path().join("file")).unwrap();
        let open = |path: &Path| openat(CWD, path, FOLDER, Mode::empty()).unwrap();
        let (from, to) = (open(image.path()), open(volume.path()));
        let place = CopiedFolder { from: from.as_fd(), to: to.as_fd(), name: volume.path() };
        assert!(place.copy_folder().is_err(), "a link is not a folder");
        assert_eq!(fs::read_dir(host.path()).unwrap().count(), 1);
        place.copy_entry(c"file").unwrap();
        assert_eq!(fs::read_to_string(host.path().join("kept")).unwrap(), "host");
    }

    #[test]
    fn a_link_of_the_image_leads_nowhere_else() {
        let (image, volume, host) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(host.path().join("secret"), "").unwrap();
        symlink(host.path(), image.path().join("data")).unwrap();
        let root = File::open(image.path()).unwrap();
        copy_up(root.as_fd(), Path::new("/data"), volume.path()).unwrap();
        assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 0);
    }
}
