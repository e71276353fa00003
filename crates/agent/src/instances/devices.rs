//! The host's devices that an instance is given: those it declares, or all of them when it is privileged.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use hoist_model::Service;
use oci_spec::runtime::LinuxDeviceType;

/// Below `/dev` and the container's own, or no devices.
const OWN: [&str; 7] = ["pts", "shm", "mqueue", "fd", "console", "ptmx", "hugepages"];

/// A device as it is on the host, and where the instance sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Block or character device.
    pub kind: LinuxDeviceType,
    /// The driver.
    pub major: u32,
    /// The device among the driver's.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Its path inside.
    pub target: PathBuf,
    /// Of `rwm`, what may be done.
    pub access: String,
}

/// A declared device that can't be given.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// It isn't there, or can't be looked at.
    #[error("device {path}: {source}")]
    Look {
        /// On the host.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of another kind.
    #[error("{0} is not a device")]
    NoDevice(PathBuf),
    /// A folder without any.
    #[error("there are no devices in {0}")]
    Empty(PathBuf),
}

/// Looks up what a service is given. A declared device comes after one of the host's at the same path, and takes its
/// place.
///
/// # Errors
/// When a declared one isn't there or isn't a device.
pub fn given(service: &Service) -> Result<Vec<Device>, DeviceError> {
    let mut devices = Vec::new();
    if service.privileged {
        let all = Path::new("/dev");
        // What can't be looked at just now is going away.
        let _ = below(all, all, "rwm", &mut devices);
    }
    for (source, target, access) in &service.devices {
        let declared = declared(Path::new(source), Path::new(target), access)?;
        devices.retain(|device| declared.iter().all(|other| other.target != device.target));
        devices.extend(declared);
    }
    Ok(devices)
}

/// One device, or all in a folder. Links are followed: `/dev/serial/by-id/…` names what it leads to.
fn declared(source: &Path, target: &Path, access: &str) -> Result<Vec<Device>, DeviceError> {
    let failed = |source_error| DeviceError::Look { path: source.to_owned(), source: source_error };
    let meta = fs::metadata(source).map_err(failed)?;
    if meta.is_dir() {
        let mut found = Vec::new();
        below(source, target, access, &mut found).map_err(failed)?;
        return if found.is_empty() { Err(DeviceError::Empty(source.to_owned())) } else { Ok(found) };
    }
    let device = device(&meta, target, access);
    device.map(|device| vec![device]).ok_or_else(|| DeviceError::NoDevice(source.to_owned()))
}

/// All devices in a folder and those in it; links in it are passed over, for they are second names.
fn below(folder: &Path, target: &Path, access: &str, found: &mut Vec<Device>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, Ok(meta)) = (entry.file_name(), entry.metadata()) else { continue };
        if folder == Path::new("/dev") && OWN.iter().any(|own| name == *own) {
            continue;
        }
        let target = target.join(&name);
        if meta.is_dir() {
            below(&entry.path(), &target, access, found)?;
        } else {
            found.extend(device(&meta, &target, access));
        }
    }
    Ok(())
}

fn device(meta: &Metadata, target: &Path, access: &str) -> Option<Device> {
    let file_type = meta.file_type();
    let kind = if file_type.is_block_device() {
        LinuxDeviceType::B
    } else if file_type.is_char_device() {
        LinuxDeviceType::C
    } else {
        return None;
    };
    Some(Device {
        kind,
        major: rustix::fs::major(meta.rdev()),
        minor: rustix::fs::minor(meta.rdev()),
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        target: target.to_owned(),
        access: access.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(devices: &[Device]) -> Vec<String> {
        let line = |device: &Device| {
            let Device { kind, major, minor, target, access, .. } = device;
            format!("{} {major}:{minor} {} {access}", kind.as_str(), target.display())
        };
        devices.iter().map(line).collect()
    }

    #[test]
    fn devices_are_those_of_the_host_whatever_they_are_called_inside() {
        let link = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", link.path().join("by-name")).unwrap();
        let source = link.path().join("by-name");
        let found = declared(&source, Path::new("/dev/nothing"), "r").unwrap();
        assert_eq!(show(&found), ["c 1:3 /dev/nothing r"]);
    }

    #[test]
    fn a_folder_gives_all_devices_in_it() {
        let found = declared(Path::new("/dev"), Path::new("/dev/host"), "rw").unwrap();
        let lines = show(&found);
        assert!(lines.contains(&"c 1:3 /dev/host/null rw".to_owned()), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("/dev/host/pts")), "{lines:?}");
    }

    #[test]
    fn what_is_not_there_or_no_device_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let error = |source: &Path| declared(source, source, "rwm").unwrap_err().to_string();
        assert!(error(Path::new("/dev/nosuch")).starts_with("device /dev/nosuch: No such file"));
        assert!(error(&folder.path().join("file")).ends_with("/file is not a device"));
        assert!(error(folder.path()).starts_with("there are no devices in "));
    }
}
