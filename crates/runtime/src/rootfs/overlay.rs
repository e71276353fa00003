//! Mounting an overlay, detached, on kernels from 6.1 on.
//!
//! Three things are in the way of many layers with long names: fsconfig(2) takes strings of at most 255
//! bytes; mount(2) takes one page of options; and overlayfs gives `:`, `,` and `\` in paths a meaning of
//! its own. A layer is therefore named by itself where that is short and plain, so that the mount table
//! tells what it is, and else by a descriptor's path, which always is.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_change, open_tree,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::{Layers, RootfsError};

/// Longest value that fsconfig takes.
const LONGEST_VALUE: usize = 255;
/// Options of mount(2) must fit in a page, with their NUL.
const LONGEST_OPTIONS: usize = 4095;

/// The parts of an overlay, opened, with the names they are mounted by.
struct Parts {
    lower: Vec<Part>,
    upper: Part,
    work: Part,
}

struct Part {
    /// Keeps `name` valid while the mount is made.
    _directory: OwnedFd,
    name: PathBuf,
}

/// Mounts the layers.
pub(super) fn mount_layers(layers: &Layers) -> Result<OwnedFd, RootfsError> {
    if layers.lower.is_empty() {
        return Err(RootfsError::NoLayers);
    }
    let parts = Parts::open(layers)?;
    match parts.mount_appending() {
        // Linux before 6.8 has no "lowerdir+".
        Err(Refusal { errno: Errno::INVAL, unknown_parameter: true, .. }) => parts.mount_joined(),
        mounted => mounted.map_err(|refusal| refusal.of(&parts)),
    }
}

/// The kernel's no, and whether it is the parameter it does not know.
struct Refusal {
    errno: Errno,
    unknown_parameter: bool,
    said: String,
}

impl Refusal {
    fn of(self, parts: &Parts) -> RootfsError {
        RootfsError::Overlay { layers: parts.lower.len(), said: self.said, source: self.errno }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, unknown_parameter: false, said: String::new() }
    }
}

impl Parts {
    fn open(layers: &Layers) -> Result<Self, RootfsError> {
        let lower = layers.lower.iter().map(|path| Part::open(path)).collect::<Result<_, _>>()?;
        Ok(Self { lower, upper: Part::open(&layers.upper)?, work: Part::open(&layers.work)? })
    }

    /// One parameter for each layer.
    fn mount_appending(&self) -> Result<OwnedFd, Refusal> {
        let context = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (index, part) in self.lower.iter().enumerate() {
            let appended = fsconfig_set_string(&context, c"lowerdir+", &part.name);
            appended.map_err(|errno| Refusal {
                unknown_parameter: index == 0,
                ..Refusal { said: said(context.as_fd()), ..errno.into() }
            })?;
        }
        finish(context.as_fd(), &[], self)
    }

    /// All layers in one string: by fsconfig when it is short enough, else by mount(2).
    fn mount_joined(&self) -> Result<OwnedFd, RootfsError> {
        let names: Vec<_> = self.lower.iter().map(|part| part.name.as_os_str().as_bytes()).collect();
        let lower = names.join(&b':');
        let mounted = if lower.len() <= LONGEST_VALUE {
            fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)
                .map_err(Refusal::from)
                .and_then(|context| finish(context.as_fd(), &[(c"lowerdir", &lower)], self))
        } else {
            self.mount_classic(&lower)?
        };
        mounted.map_err(|refusal| refusal.of(self))
    }

    /// By mount(2), which needs a place: that of a throw-away thread in a mount namespace of its own.
    fn mount_classic(&self, lower: &[u8]) -> Result<Result<OwnedFd, Refusal>, RootfsError> {
        let mut options = [b"lowerdir=", lower, b",upperdir="].concat();
        options.extend(self.upper.name.as_os_str().as_bytes());
        options.extend(b",workdir=");
        options.extend(self.work.name.as_os_str().as_bytes());
        if options.len() > LONGEST_OPTIONS {
            return Ok(Err(Errno::NAMETOOLONG.into()));
        }
        let work = move || mount_in_private(&options).map_err(Refusal::from);
        let thread = std::thread::Builder::new().name("overlay".to_owned()).spawn(work);
        let joined = thread.map_err(RootfsError::Thread)?.join();
        Ok(joined.unwrap_or(Err(Errno::CANCELED.into())))
    }
}

/// In a thread that ends with the call: its mount namespace ends with it, what is left is the clone.
fn mount_in_private(options: &[u8]) -> Result<OwnedFd, Errno> {
    // SAFETY: FILES is not unshared: descriptors stay shared with the other threads.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }?;
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let options = std::ffi::CString::new(options).map_err(|_| Errno::INVAL)?;
    mount(c"overlay", c"/", c"overlay", MountFlags::empty(), options.as_c_str())?;
    // The working directory is not below the mount that now covers "/": ".." of the root is.
    let top = openat(CWD, c"/..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let itself = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(top, c"", itself | OpenTreeFlags::OPEN_TREE_CLOEXEC)
}

/// Adds what every overlay has, and makes it.
fn finish(
    context: BorrowedFd<'_>,
    lower: &[(&std::ffi::CStr, &[u8])],
    parts: &Parts,
) -> Result<OwnedFd, Refusal> {
    let configure = || {
        for (key, value) in lower {
            fsconfig_set_string(context, *key, *value)?;
        }
        fsconfig_set_string(context, c"upperdir", &parts.upper.name)?;
        fsconfig_set_string(context, c"workdir", &parts.work.name)?;
        fsconfig_set_string(context, c"source", c"overlay")?;
        fsconfig_create(context)
    };
    configure().map_err(|errno| Refusal { said: said(context), ..Refusal::from(errno) })?;
    Ok(fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

/// What the file system wrote about its refusal.
fn said(context: BorrowedFd<'_>) -> String {
    let mut line = [0_u8; 256];
    let length = rustix::io::read(context, &mut line).unwrap_or(0);
    let line = String::from_utf8_lossy(line.get(..length).unwrap_or_default());
    let line = line.trim_end().trim_start_matches("e ");
    if line.is_empty() { String::new() } else { format!(": {line}") }
}

impl Part {
    fn open(path: &Path) -> Result<Self, RootfsError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty())
            .map_err(|source| RootfsError::Open { path: path.to_owned(), source })?;
        let bytes = path.as_os_str().as_bytes();
        let plain = path.is_absolute() && !bytes.iter().any(|byte| b":,\\".contains(byte));
        let name = if plain && bytes.len() <= LONGEST_VALUE {
            path.to_owned()
        } else {
            format!("/proc/self/fd/{}", directory.as_raw_fd()).into()
        };
        Ok(Self { _directory: directory, name })
    }
}
