//! Visiting a group and all below it.
//!
//! By descriptors and without recursion: a container makes groups below its own as it likes, also deeper than a
//! path or a stack can be long.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, fstat, openat};

/// What is done at each group.
pub(super) trait Visitor {
    /// A group is found in `parent`. False: it isn't entered.
    fn find(&mut self, _parent: BorrowedFd<'_>, _name: &CStr) -> io::Result<bool> {
        Ok(true)
    }

    /// A group is entered, before those below it.
    fn enter(&mut self, _group: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }

    /// All below a group in `parent` have been seen.
    fn leave(&mut self, _parent: BorrowedFd<'_>, _name: &CStr) -> io::Result<()> {
        Ok(())
    }
}

/// Enters `top` and all below it, each once. What is gone, or goes meanwhile, is passed over.
pub(super) fn walk(top: &Path, visitor: &mut impl Visitor) -> io::Result<()> {
    let Some(mut here) = open(CWD, top)? else { return Ok(()) };
    visitor.enter(here.as_fd())?;
    // For each level on the way to where we are: those still ahead, and from the second on its name.
    let mut ahead = vec![below(here.as_fd())?];
    let mut names: Vec<CString> = Vec::new();
    while let Some(level) = ahead.last_mut() {
        if let Some(name) = level.pop() {
            if !visitor.find(here.as_fd(), &name)? {
                continue;
            }
            let Some(group) = open(here.as_fd(), name.as_c_str())? else { continue };
            visitor.enter(group.as_fd())?;
            ahead.push(below(group.as_fd())?);
            names.push(name);
            here = group;
        } else {
            ahead.pop();
            if let Some(name) = names.pop() {
                // Groups don't move: this is the one that we came from.
                here = openat(&here, c"..", DIRECTORY, Mode::empty())?;
                visitor.leave(here.as_fd(), &name)?;
            }
        }
    }
    Ok(())
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn open(parent: impl AsFd, name: impl rustix::path::Arg) -> io::Result<Option<OwnedFd>> {
    gone_is_none(openat(parent, name, DIRECTORY, Mode::empty()).map_err(io::Error::from))
}

/// The groups directly below one.
fn below(group: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    // Its own name, its `.` and the `..` of each below: two links and no group, as mostly.
    if fstat(group)?.st_nlink == 2 {
        return Ok(Vec::new());
    }
    let (mut names, mut buffer) = (Vec::new(), [const { MaybeUninit::uninit() }; 4096]);
    let mut entries = RawDir::new(group, &mut buffer);
    while let Some(entry) = entries.next() {
        let Some(entry) = gone_is_none(entry.map_err(io::Error::from))? else { break };
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The text of a file of a group; none when the group is gone or has no such file.
pub(super) fn read_at(group: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<String>> {
    let opened = openat(group, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let Some(file) = gone_is_none(opened.map_err(io::Error::from))? else { return Ok(None) };
    gone_is_none(io::read_to_string(std::fs::File::from(file)))
}

/// Nothing where it is not there, or (ENODEV) was removed while its file was open.
pub(super) fn gone_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Not there, or (ENODEV) removed while its file was open.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}
