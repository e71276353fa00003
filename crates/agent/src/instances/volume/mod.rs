//! Named and anonymous volumes: folders below the root, filled once from what the image has at their target. With
//! `driver_opts` the data of a named one is elsewhere on the host, or on a file system mounted on its folder, which
//! stays mounted until the volume is removed.

mod copy;
mod options;

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use hoist_runtime::rootfs;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags, statx};
use rustix::mount::{UnmountFlags, mount, unmount};

pub(crate) use copy::copy_up;
pub(crate) use options::{DataLocation, FileSystem};

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
pub(crate) fn ensure_at(data: &Path, place: &DataLocation) -> Result<PathBuf, VolumeError> {
    ensure(data)?;
    match place {
        DataLocation::Own => {}
        DataLocation::Folder { device, .. } => {
            fs::read_dir(device).map_err(at(device))?;
            return Ok(device.clone());
        }
        DataLocation::Mounted(file_system) if !is_mounted(data)? => mount_on(data, file_system)?,
        DataLocation::Mounted(_) => {}
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

/// Opens a folder of a volume by a path that the volume's content has a say in. A path that leads out of the volume is
/// an error, and so is one that isn't there.
///
/// # Errors
/// What openat2(2) says: `EXDEV` or `ELOOP` for what leads out.
pub(crate) fn check_subpath(data: &Path, subpath: &Path) -> Result<(), rustix::io::Errno> {
    let volume = rustix::fs::open(data, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    rootfs::open_beneath(volume.as_fd(), subpath, OFlags::PATH).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_elsewhere_is_used_in_place_and_survives_its_removal() {
        let dir = tempfile::tempdir().unwrap();
        let (device, data) = (dir.path().join("srv"), dir.path().join("volumes/v/_data"));
        let place = DataLocation::Folder { device: device.clone(), read_only: false, options: Vec::new() };
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
        let place = DataLocation::Mounted(FileSystem { kind, device, flags, data: "size=1m".to_owned() });
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
    fn a_subpath_stays_in_its_volume() {
        use rustix::io::Errno;
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir_all(data.join("real/in")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, data.join(name)).unwrap();
        link("real", "inside");
        link("/etc", "absolute");
        link("../outside", "up");
        link("absolute", "twice");
        link("/proc/self/root", "magic");
        let check = |subpath: &str| check_subpath(&data, Path::new(subpath));
        for allowed in ["real", "inside/in", "real/../inside"] {
            assert_eq!(check(allowed), Ok(()), "{allowed}");
        }
        for refused in ["absolute", "up", "twice", "real/../../outside", "..", "/etc", "magic"] {
            assert!(matches!(check(refused), Err(Errno::XDEV | Errno::LOOP)), "{refused}");
        }
        assert_eq!(check("no/such"), Err(Errno::NOENT));
    }
}
