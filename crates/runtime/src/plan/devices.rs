//! The devices and links that every container has: "Default Devices" and "Dev symbolic links" of the OCI
//! runtime specification, and those it asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use rustix::fs::FileType;

use super::{Plan, c_path, c_string};
use crate::launch::PrepareError;
use crate::op::{Device, Folder, Rdev, Symlink};

const FIELD: &str = "linux.devices";

const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&str, &str); 6] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/core", "/proc/kcore"),
];

/// The folders that something is made in, each once.
#[derive(Default)]
struct Folders(BTreeMap<PathBuf, Arc<Folder>>);

impl Folders {
    fn folder(&mut self, path: &Path) -> Result<Arc<Folder>, PrepareError> {
        if let Some(known) = self.0.get(path) {
            return Ok(Arc::clone(known));
        }
        let folder = Folder::new(c_path(FIELD, path)?);
        self.0.insert(path.to_owned(), Arc::clone(&folder));
        Ok(folder)
    }
}

pub(super) fn plan(plan: &mut Plan, spec: &Spec) -> Result<(), PrepareError> {
    let mut folders = Folders::default();
    let wanted = spec.linux().as_ref().and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    for (path, major, minor) in DEFAULT {
        if wanted.iter().all(|device| device.path() != Path::new(path)) {
            let kind = FileType::CharacterDevice;
            plan.push(Device { kind, rdev: Rdev { major, minor }, ..at(&mut folders, Path::new(path))? });
        }
    }
    for device in wanted {
        plan.push(requested(&mut folders, device)?);
    }
    for (path, target) in LINKS {
        let Device { folder, name, .. } = at(&mut folders, Path::new(path))?;
        plan.push(Symlink { folder, name, target: c_string(FIELD, target.as_bytes())? });
    }
    Ok(())
}

fn requested(folders: &mut Folders, device: &LinuxDevice) -> Result<Device, PrepareError> {
    let number = |number: i64| {
        let problem = || PrepareError::invalid(FIELD, format!("{number} is not a device number"));
        u32::try_from(number).map_err(|_| problem())
    };
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::A => {
            let problem = format!("{}: the type a is for cgroup rules only", device.path().display());
            return Err(PrepareError::invalid(FIELD, problem));
        }
    };
    let rdev = match kind {
        FileType::Fifo => Rdev { major: 0, minor: 0 },
        _ => Rdev { major: number(device.major())?, minor: number(device.minor())? },
    };
    let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    Ok(Device {
        kind,
        rdev,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid,
        gid,
        ..at(folders, device.path())?
    })
}

/// A device at a path, of which only the path is set.
fn at(folders: &mut Folders, path: &Path) -> Result<Device, PrepareError> {
    let problem = || PrepareError::invalid(FIELD, format!("{} is not the path of a device", path.display()));
    let parent = path.parent().ok_or_else(problem)?;
    let name = path.file_name().ok_or_else(problem)?;
    Ok(Device {
        folder: folders.folder(parent)?,
        name: c_string(FIELD, name.as_encoded_bytes())?,
        path: c_path(FIELD, path)?,
        kind: FileType::CharacterDevice,
        rdev: Rdev { major: 0, minor: 0 },
        mode: 0o666,
        uid: 0,
        gid: 0,
    })
}
