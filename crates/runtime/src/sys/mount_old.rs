//! What mount_setattr(2) does, for kernels that don't have it (Linux before 5.12) and for sandboxes that hide it.
//!
//! Mounts are changed one by one, by mount(2): the tree is walked as the mount table lists it. Only of an attached
//! tree: a detached one is in nobody's table. All on the stack, as everything here.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, StatVfsMountFlags, StatxFlags, openat, openat2, statx,
};
use rustix::io::Errno;

use super::checked;
use super::mount::{MountAttr, Recursion};

/// More mounts than this in one tree are an error.
const MOST: usize = 2048;
/// A line of the table has two paths, each up to `PATH_MAX` with every byte written as four, and some words. One
/// that doesn't fit is an error.
const LINE: usize = 16 << 10;

/// Attributes and flags of mount(2) that say the same, with what statvfs(3) calls them.
const FLAGS: [(u64, libc::c_ulong, StatVfsMountFlags); 6] = [
    (libc::MOUNT_ATTR_RDONLY, libc::MS_RDONLY, StatVfsMountFlags::RDONLY),
    (libc::MOUNT_ATTR_NOSUID, libc::MS_NOSUID, StatVfsMountFlags::NOSUID),
    (libc::MOUNT_ATTR_NODEV, libc::MS_NODEV, StatVfsMountFlags::NODEV),
    (libc::MOUNT_ATTR_NOEXEC, libc::MS_NOEXEC, StatVfsMountFlags::NOEXEC),
    (libc::MOUNT_ATTR_NOATIME, libc::MS_NOATIME, StatVfsMountFlags::NOATIME),
    (libc::MOUNT_ATTR_NODIRATIME, libc::MS_NODIRATIME, StatVfsMountFlags::NODIRATIME),
];

/// Changes the attached mount that `tree` is the root of.
pub(super) fn set_attr(tree: BorrowedFd<'_>, recursion: Recursion, attr: &MountAttr) -> Result<(), Errno> {
    if attr.propagation != 0 {
        let below = if recursion == Recursion::All { libc::MS_REC } else { 0 };
        change(tree, attr.propagation | below)?;
    }
    if attr.set == 0 && attr.clear == 0 {
        return Ok(());
    }
    remount(tree, attr)?;
    if recursion == Recursion::All { walk(tree, attr) } else { Ok(()) }
}

fn remount(mount: BorrowedFd<'_>, attr: &MountAttr) -> Result<(), Errno> {
    let now = rustix::fs::fstatvfs(mount)?.f_flag;
    let mut flags = libc::MS_REMOUNT | libc::MS_BIND;
    for (attribute, flag, known) in FLAGS {
        let stays = now.contains(known) && attr.clear & attribute == 0;
        if stays || attr.set & attribute != 0 {
            flags |= flag;
        }
    }
    let strict = attr.set & libc::MOUNT_ATTR_STRICTATIME != 0;
    change(mount, if strict { flags | libc::MS_STRICTATIME } else { flags })
}

/// mount(2) on what a descriptor refers to.
fn change(mount: BorrowedFd<'_>, flags: libc::c_ulong) -> Result<(), Errno> {
    let mut path = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0";
    let (mut number, mut digits, mut count) = (mount.as_raw_fd(), [0_u8; 10], 0);
    for digit in &mut digits {
        *digit = b'0' + (number % 10) as u8;
        (number, count) = (number / 10, count + 1);
        if number == 0 {
            break;
        }
    }
    let digits = digits.get(..count).unwrap_or_default();
    for (to, digit) in path.iter_mut().skip(14).zip(digits.iter().rev()) {
        *to = *digit;
    }
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: the path is a C string that outlives the call; the other pointers may be null with these flags.
    checked(unsafe { libc::syscall(libc::SYS_mount, none, path.as_ptr(), none, flags, none) }).map(drop)
}

/// The mounts of a tree that have been found.
struct FoundMounts {
    ids: [u64; MOST],
    count: usize,
}

impl FoundMounts {
    fn has(&self, id: u64) -> bool {
        self.ids.iter().take(self.count).any(|known| *known == id)
    }

    fn add(&mut self, id: u64) -> Result<(), Errno> {
        *self.ids.get_mut(self.count).ok_or(Errno::NOSPC)? = id;
        self.count += 1;
        Ok(())
    }
}

/// Remounts everything below. The table may list a mount before its parent, so it is read until nothing is new.
fn walk(tree: BorrowedFd<'_>, attr: &MountAttr) -> Result<(), Errno> {
    let top = statx(tree, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id;
    let mut found = FoundMounts { ids: [0; MOST], count: 0 };
    found.add(top)?;
    let mut start = Start { path: [0; LINE], length: 0 };
    read_table(&mut |line| {
        if line.id == top {
            start.keep(line.path)?;
        }
        Ok(())
    })?;
    loop {
        let before = found.count;
        read_table(&mut |line| {
            if !found.has(line.parent) || found.has(line.id) {
                return Ok(());
            }
            found.add(line.id)?;
            let mut name = [0; LINE];
            let path = start.below(line.path, &mut name)?;
            let confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
            let mount = openat2(tree, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), confined)?;
            remount(mount.as_fd(), attr)
        })?;
        if found.count == before {
            return Ok(());
        }
    }
}

/// Where the tree begins, as the table writes it.
struct Start {
    path: [u8; LINE],
    length: usize,
}

impl Start {
    fn keep(&mut self, path: &[u8]) -> Result<(), Errno> {
        // The root's own path is "/", and others begin with it.
        let path = path.strip_suffix(b"/").unwrap_or(path);
        self.path.get_mut(..path.len()).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(path);
        self.length = path.len();
        Ok(())
    }

    /// The rest of a path below, as a C string, its octal numbers read.
    fn below<'b>(&self, path: &[u8], buffer: &'b mut [u8; LINE]) -> Result<&'b CStr, Errno> {
        let start = self.path.get(..self.length).unwrap_or_default();
        let mut rest = path.strip_prefix(start).ok_or(Errno::INVAL)?;
        let mut length = 0;
        while let Some((first, others)) = rest.split_first() {
            let (byte, others) = match (first, others) {
                (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', others @ ..]) => {
                    ((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'), others)
                }
                _ => (*first, others),
            };
            *buffer.get_mut(length).ok_or(Errno::NAMETOOLONG)? = byte;
            (length, rest) = (length + 1, others);
        }
        *buffer.get_mut(length).ok_or(Errno::NAMETOOLONG)? = 0;
        CStr::from_bytes_with_nul(buffer.get(..=length).unwrap_or_default()).map_err(|_| Errno::INVAL)
    }
}

/// A line of the table (proc(5), `/proc/PID/mountinfo`).
struct Line<'a> {
    id: u64,
    parent: u64,
    path: &'a [u8],
}

fn read_table(each: &mut dyn FnMut(&Line<'_>) -> Result<(), Errno>) -> Result<(), Errno> {
    let table = openat(CWD, c"/proc/self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let (mut buffer, mut filled) = ([0_u8; 2 * LINE], 0);
    loop {
        let room = buffer.get_mut(filled..).filter(|room| !room.is_empty()).ok_or(Errno::NAMETOOLONG)?;
        let read = rustix::io::read(&table, room)?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut begin = 0;
        while let Some(length) = position(buffer.get(begin..filled), b'\n') {
            if let Some(line) = buffer.get(begin..begin + length).and_then(parse) {
                each(&line)?;
            }
            begin += length + 1;
        }
        buffer.copy_within(begin..filled, 0);
        filled -= begin;
    }
}

fn position(bytes: Option<&[u8]>, wanted: u8) -> Option<usize> {
    bytes?.iter().position(|byte| *byte == wanted)
}

fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (id, parent) = (number(fields.next()?), number(fields.next()?));
    Some(Line { id: id?, parent: parent?, path: fields.nth(2)? })
}

fn number(digits: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    digits.iter().try_fold(0_u64, |number, byte| number.checked_mul(10)?.checked_add(digit(byte)?))
}
