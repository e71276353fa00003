//! ADD of an archive: unpacked into a folder of the image, and nowhere else.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::StepError;
use super::target::{Attributes, Target};
use super::tree::Kind as NodeKind;
use crate::layer::{Entry, Kind, TarError, TarReader, check_xattrs, decoder, write_content};

/// Whether the file is a tar archive, compressed or not.
pub(super) fn is_archive(file: impl Read + Send) -> bool {
    let Ok(plain) = decoder(file) else { return false };
    matches!(TarReader::new(plain).next(), Ok(Some(_)))
}

/// Unpacks an archive below `folder`. Owners are the archive's, unless `chown` says otherwise.
pub(super) fn unpack(
    target: &Target,
    folder: &Path,
    archive: impl Read + Send,
    chown: Option<(u32, u32)>,
) -> Result<(), StepError> {
    let plain = decoder(archive).map_err(|error| StepError::Archive(TarError::Read(error)))?;
    let mut archive = TarReader::new(plain);
    let mut directories = Vec::new();
    while let Some(entry) = archive.next()? {
        let path = inside(folder, &entry.path)?;
        let attributes = attributes(&entry, chown);
        check_xattrs(&entry.xattrs).map_err(|_| refused(&entry.path))?;
        if let Some(parent) = path.parent() {
            target.folders(parent, chown.unwrap_or((0, 0)))?;
        }
        // What the archive itself put on the way may be a link: the parent is where it leads, inside.
        let path = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => target.resolve(parent)?.path.join(name),
            _ => path,
        };
        match entry.kind {
            Kind::Directory => {
                if path != folder || !path.as_os_str().is_empty() {
                    target.directory(&path)?;
                }
                directories.push((path, attributes));
                continue;
            }
            Kind::File => {
                let file = target.create(&path)?;
                write_content(&file, &entry, &mut archive).map_err(|fault| fault.at(&entry.path))?;
            }
            Kind::Symlink => target.symlink(&path, &bytes(&entry.link))?,
            Kind::HardLink => {
                let to = target.resolve(&inside(folder, &entry.link)?)?.path;
                target.hard_link(&path, &to)?;
                continue;
            }
            Kind::Fifo => target.special(&path, NodeKind::Fifo, 0)?,
            Kind::CharDevice | Kind::BlockDevice => {
                let (major, minor) = entry.device;
                let kind =
                    if entry.kind == Kind::CharDevice { NodeKind::CharDevice } else { NodeKind::BlockDevice };
                target.special(&path, kind, rustix::fs::makedev(major, minor))?;
            }
        }
        target.set(&path, &attributes)?;
    }
    // Last, since each thing placed inside changes a directory's time.
    directories.iter().rev().try_for_each(|(path, attributes)| target.set(path, attributes))
}

fn attributes(entry: &Entry, chown: Option<(u32, u32)>) -> Attributes {
    let (uid, gid) = chown.unwrap_or((entry.uid, entry.gid));
    Attributes { mode: entry.mode, uid, gid, mtime: Some(entry.mtime), xattrs: entry.xattrs.clone() }
}

/// The path of an entry below `folder`.
fn inside(folder: &Path, spelled: &[u8]) -> Result<PathBuf, StepError> {
    let mut path = folder.to_owned();
    for part in bytes(spelled).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(refused(spelled)),
        }
    }
    Ok(path)
}

fn refused(path: &[u8]) -> StepError {
    StepError::Refused(format!("the archive's entry {:?} is refused", String::from_utf8_lossy(path)))
}

fn bytes(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(bytes).into()
}
