//! Named and anonymous volumes: folders below the root, filled once from what the image has at their target. With
//! `driver_opts` the data of a named one is elsewhere on the host, or on a file system mounted on its folder, which
//! stays mounted until the volume is removed.

mod options;

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, StatxAttributes, StatxFlags, Uid, statx};
use rustix::mount::{UnmountFlags, mount, unmount};

pub(crate) use options::{FileSystem, Place};

/// A volume that could not be made ready.
#[derive(Debug, thiserror::Error)]
#[error("can't prepare volume folder {path}")]
pub(crate) struct VolumeError {
    /// The folder, or the file in it.
    pub path: PathBuf,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

fn at(path: &Path) -> impl Fn(io::Error) -> VolumeError + '_ {
    move |source| VolumeError { path: path.to_owned(), source }
}

/// Makes the folder, if it isn't there.
///
/// # Errors
/// When it can't be made.
pub(crate) fn ensure(data: &Path) -> Result<(), VolumeError> {
    fs::create_dir_all(data).map_err(at(data))
}

/// Makes the folder of a named volume and what its options ask for. Returns where the data is.
///
/// # Errors
/// When it can't be made or mounted, or is a folder of the host that isn't there.
pub(crate) fn ensure_at(data: &Path, place: &Place) -> Result<PathBuf, VolumeError> {
    ensure(data)?;
    match place {
        Place::Own => {}
        Place::Folder { device, .. } => {
            fs::read_dir(device).map_err(at(device))?;
            return Ok(device.clone());
        }
        Place::Mounted(file_system) if !is_mounted(data)? => mount_on(data, file_system)?,
        Place::Mounted(_) => {}
    }
    Ok(data.to_owned())
}

fn is_mounted(data: &Path) -> Result<bool, VolumeError> {
    match statx(CWD, data, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(at(data)(error.into())),
    }
}

fn mount_on(data: &Path, file_system: &FileSystem) -> Result<(), VolumeError> {
    let FileSystem { kind, device, flags, data: own } = file_system;
    let own = std::ffi::CString::new(own.as_str()).map_err(io::Error::from).map_err(at(data))?;
    mount(device, data, kind, *flags, own.as_c_str()).map_err(io::Error::from).map_err(at(data))
}

/// Removes the volume whose data is at `data`, with its data. What is in a folder of the host stays.
///
/// # Errors
/// When something of it can't be removed; what was removed is gone.
pub(crate) fn remove(data: &Path) -> Result<(), VolumeError> {
    let folder = data.parent().unwrap_or(data);
    // Else what is mounted there would be deleted with it.
    while is_mounted(data)? {
        unmount(data, UnmountFlags::DETACH).map_err(io::Error::from).map_err(at(data))?;
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(VolumeError { path: folder.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

/// Fills an empty volume from the folder `target` of the image, as Docker does: contents with owners, modes, times
/// and links, and the folder's own owner and mode. Does nothing when the volume isn't empty or the image has nothing
/// there.
///
/// # Errors
/// When something can't be copied.
pub(crate) fn copy_up(root: BorrowedFd<'_>, target: &Path, data: &Path) -> Result<(), VolumeError> {
    if fs::read_dir(data).map_err(at(data))?.next().is_some() {
        return Ok(());
    }
    let inside = target.strip_prefix("/").unwrap_or(target);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = rustix::fs::ResolveFlags::IN_ROOT | rustix::fs::ResolveFlags::NO_MAGICLINKS;
    let Ok(source) = rustix::fs::openat2(root, inside, flags, Mode::empty(), resolve) else { return Ok(()) };
    // Through /proc the tree is walked below the descriptor: names in it are opened without following links.
    let source = PathBuf::from(format!("/proc/self/fd/{}", source.as_raw_fd()));
    copy_folder(&source, data)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), VolumeError> {
    for entry in fs::read_dir(from).map_err(at(from))? {
        let entry = entry.map_err(at(from))?;
        copy_entry(&entry.path(), &to.join(entry.file_name()))?;
    }
    let meta = fs::metadata(from).map_err(at(from))?;
    copy_attributes(&meta, to)
}

fn copy_entry(from: &Path, to: &Path) -> Result<(), VolumeError> {
    let meta = fs::symlink_metadata(from).map_err(at(from))?;
    let kind = meta.file_type();
    if kind.is_dir() {
        fs::create_dir(to).map_err(at(to))?;
        return copy_folder(from, to);
    }
    if kind.is_symlink() {
        let link = fs::read_link(from).map_err(at(from))?;
        std::os::unix::fs::symlink(link, to).map_err(at(to))?;
    } else if kind.is_file() {
        fs::copy(from, to).map_err(at(to))?;
    } else {
        let mode = Mode::from_raw_mode(meta.mode() & 0o7777);
        let node = rustix::fs::FileType::from_raw_mode(meta.mode());
        rustix::fs::mknodat(CWD, to, node, mode, meta.rdev()).map_err(io::Error::from).map_err(at(to))?;
    }
    copy_attributes(&meta, to)
}

/// Owner first: changing it clears the setuid bits that the mode then sets again.
fn copy_attributes(meta: &fs::Metadata, to: &Path) -> Result<(), VolumeError> {
    let owner = (Some(Uid::from_raw(meta.uid())), Some(Gid::from_raw(meta.gid())));
    let no_follow = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(CWD, to, owner.0, owner.1, no_follow).map_err(io::Error::from).map_err(at(to))?;
    if !meta.file_type().is_symlink() {
        fs::set_permissions(to, Permissions::from_mode(meta.mode() & 0o7777)).map_err(at(to))?;
    }
    let time = |seconds, nanoseconds| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = rustix::fs::Timestamps {
        last_access: time(meta.atime(), meta.atime_nsec()),
        last_modification: time(meta.mtime(), meta.mtime_nsec()),
    };
    rustix::fs::utimensat(CWD, to, &times, no_follow).map_err(io::Error::from).map_err(at(to))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_volume_elsewhere_is_used_in_place_and_survives_its_removal() {
        let dir = tempfile::tempdir().unwrap();
        let (device, data) = (dir.path().join("srv"), dir.path().join("volumes/v/_data"));
        let place = Place::Folder { device: device.clone(), read_only: false };
        let error = ensure_at(&data, &place).unwrap_err();
        assert_eq!(error.path, device);
        fs::create_dir(&device).unwrap();
        fs::write(device.join("kept"), "").unwrap();
        assert_eq!(ensure_at(&data, &place).unwrap(), device);
        remove(&data).unwrap();
        assert!(!data.exists() && device.join("kept").exists());
    }

    #[test]
    fn a_volume_with_a_file_system_is_mounted_once_and_unmounted_with_its_removal() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped a_volume_with_a_file_system, because it needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("volumes/v/_data");
        let (kind, device) = ("tmpfs".to_owned(), "tmpfs".to_owned());
        let flags = rustix::mount::MountFlags::NOSUID;
        let place = Place::Mounted(FileSystem { kind, device, flags, data: "size=1m".to_owned() });
        assert_eq!(ensure_at(&data, &place).unwrap(), data);
        fs::write(data.join("file"), "").unwrap();
        ensure_at(&data, &place).unwrap();
        assert!(data.join("file").exists() && is_mounted(&data).unwrap());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = mounts.lines().find(|line| line.contains(data.to_str().unwrap())).unwrap();
        assert!(line.contains("nosuid") && line.contains("size=1024k"), "{line}");
        remove(&data).unwrap();
        assert!(!data.exists());
    }

    #[test]
    fn an_empty_volume_takes_the_images_content_once() {
        let image = tempfile::tempdir().unwrap();
        let volume = tempfile::tempdir().unwrap();
        let inside = image.path().join("var/lib/db");
        fs::create_dir_all(&inside).unwrap();
        fs::write(inside.join("seed"), "1").unwrap();
        std::os::unix::fs::symlink("seed", inside.join("link")).unwrap();
        fs::set_permissions(&inside, Permissions::from_mode(0o1750)).unwrap();
        let root = fs::File::open(image.path()).unwrap();
        copy_up(root.as_fd(), Path::new("/var/lib/db"), volume.path()).unwrap();
        assert_eq!(fs::read_to_string(volume.path().join("link")).unwrap(), "1");
        assert_eq!(fs::metadata(volume.path()).unwrap().mode() & 0o7777, 0o1750);
        fs::write(inside.join("seed"), "2").unwrap();
        copy_up(root.as_fd(), Path::new("/var/lib/db"), volume.path()).unwrap();
        assert_eq!(fs::read_to_string(volume.path().join("seed")).unwrap(), "1");
    }
}
