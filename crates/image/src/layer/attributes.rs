//! Content and attributes of what is extracted.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::os::fd::OwnedFd;

use rustix::fs::{self, Timespec, Timestamps};
use rustix::io::Errno;

use super::fault::Fault;
use super::sparse::Fragment;
use super::tar::{Entry, TarReader};

/// Sets extended attributes; which ones the file system can't keep is added to `lost`.
pub(super) fn set_xattrs(
    lost: &mut BTreeSet<String>,
    xattrs: &[(Vec<u8>, Vec<u8>)],
    set: impl Fn(&[u8], &[u8]) -> Result<(), Errno>,
) -> Result<(), Fault> {
    for (key, value) in xattrs {
        match set(key, value) {
            Err(errno) if cant_be_kept(key, errno) => {
                lost.insert(String::from_utf8_lossy(key).into_owned());
            }
            other => other.map_err(|errno| Fault::Io("setting an extended attribute", errno))?,
        }
    }
    Ok(())
}

/// Attributes of users are for files and directories alone (xattr(7)): links and devices can't have them.
fn cant_be_kept(key: &[u8], errno: Errno) -> bool {
    errno == Errno::NOTSUP || (errno == Errno::PERM && key.starts_with(b"user."))
}

/// Attributes that steer overlayfs are ours to set: in an archive they could hide or redirect.
pub(crate) fn check_xattrs(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Fault> {
    let steers = |name: &[u8]| name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    if xattrs.iter().any(|(name, _)| steers(name)) {
        return Err(Fault::Refused("it has an extended attribute of overlayfs"));
    }
    let spoilt = xattrs.iter().any(|(name, _)| name.contains(&0) || name.is_empty());
    if spoilt { Err(Fault::Refused("it has an extended attribute without a proper name")) } else { Ok(()) }
}

/// Writes the entry's content; holes of a sparse file stay holes.
pub(crate) fn write_content(
    file: &OwnedFd,
    entry: &Entry,
    content: &mut TarReader<impl BufRead>,
) -> Result<(), Fault> {
    let failed = |errno| Fault::Io("writing it", errno);
    let Some(map) = &entry.sparse else {
        return content.for_each_chunk(|chunk| write_all(file, chunk).map_err(failed));
    };
    let mut fragments = map.fragments.iter().copied();
    let mut fragment = Fragment { offset: 0, length: 0 };
    content.for_each_chunk(|mut chunk| {
        while !chunk.is_empty() {
            while fragment.length == 0 {
                fragment = fragments.next().ok_or(Fault::Refused("its sparse map is too short"))?;
            }
            let piece = chunk.len().min(usize::try_from(fragment.length).unwrap_or(usize::MAX));
            write_all_at(file, &chunk[..piece], fragment.offset).map_err(failed)?;
            fragment.offset += piece as u64;
            fragment.length -= piece as u64;
            chunk = &chunk[piece..];
        }
        Ok::<(), Fault>(())
    })?;
    fs::ftruncate(file, map.real_size).map_err(failed)
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let n = rustix::io::retry_on_intr(|| rustix::io::write(file, bytes))?;
        bytes = &bytes[n..];
    }
    Ok(())
}

fn write_all_at(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let n = rustix::io::retry_on_intr(|| rustix::io::pwrite(file, bytes, offset))?;
        bytes = &bytes[n..];
        offset += n as u64;
    }
    Ok(())
}

/// Access and modification time, both the entry's.
pub(super) fn times(entry: &Entry) -> Timestamps {
    let (seconds, nanos) = entry.mtime;
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// The process's umask, read where reading doesn't change it.
pub(super) fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    // Unknown: as if all bits were masked, so that each mode is set by a call of its own.
    mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o777)
}
