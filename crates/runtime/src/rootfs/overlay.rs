//! Mounting an overlay, detached, on kernels from 6.1 on.
//!
//! Three things are in the way of many layers with long names: fsconfig(2) takes strings of at most 255
//! bytes; mount(2) takes one page of options; and overlayfs gives `:`, `,` and `\` in paths a meaning of
//! its own. A layer is therefore named by itself where that is short and plain, so that the mount table
//! tells what it is, and else by a descriptor's path, which always is.

use std::ffi::CString;
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
pub(super) struct Parts {
    pub(super) lower: Vec<Part>,
    pub(super) upper: Part,
    pub(super) work: Part,
}

pub(super) struct Part {
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
        // Linux before 6.8 does not know "lowerdir+", and says so at once or at the end, by this and no word.
        Err(Refusal { errno: Errno::INVAL, said }) if said.is_empty() => mount_old(layers),
        mounted => mounted.map_err(|refusal| refusal.of(&parts)),
    }
}

/// The kernel's no, with the words it gave, led by ": ", or none.
struct Refusal {
    errno: Errno,
    said: String,
}

impl Refusal {
    fn of(self, parts: &Parts) -> RootfsError {
        RootfsError::Overlay { layers: parts.lower.len(), said: self.said, source: self.errno }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, said: String::new() }
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
        for part in &self.lower {
            fsconfig_set_string(&context, c"lowerdir+", &part.name)?;
        }
        finish(context.as_fd(), &[], self)
    }

    /// All layers in one string, as kernels before 6.8 want them.
    fn mount_joined(&self) -> Result<OwnedFd, Refusal> {
        let lower = self.joined();
        if lower.len() > LONGEST_VALUE {
            return Err(Errno::NAMETOOLONG.into());
        }
        let context = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        finish(context.as_fd(), &[(c"lowerdir", &lower)], self)
    }

    /// The layers in one string, with folders of upper ones leading to others of lower ones.
    pub(super) fn mount_redirected(&self) -> Result<OwnedFd, RootfsError> {
        let mounted = || -> Result<OwnedFd, Refusal> {
            let context = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
            finish(context.as_fd(), &[(c"lowerdir", &self.joined()), (c"redirect_dir", b"follow")], self)
        };
        mounted().map_err(|refusal| refusal.of(self))
    }

    fn joined(&self) -> Vec<u8> {
        let names: Vec<_> = self.lower.iter().map(|part| part.name.as_os_str().as_bytes()).collect();
        names.join(&b':')
    }

    /// The options of mount(2).
    fn options(&self) -> Result<CString, Refusal> {
        let name = |part: &Part| part.name.as_os_str().as_bytes().to_vec();
        let parts = [b"lowerdir=".to_vec(), self.joined(), b",upperdir=".to_vec(), name(&self.upper)];
        let options = [parts.concat(), b",workdir=".to_vec(), name(&self.work)].concat();
        if options.len() > LONGEST_OPTIONS {
            return Err(Errno::NAMETOOLONG.into());
        }
        CString::new(options).map_err(|_| Errno::INVAL.into())
    }
}

/// For kernels before 6.8: by fsconfig when the layers fit in one string, else by mount(2).
fn mount_old(layers: &Layers) -> Result<OwnedFd, RootfsError> {
    let parts = Parts::open(layers)?;
    match parts.mount_joined() {
        Err(Refusal { errno: Errno::NAMETOOLONG, .. }) => {}
        mounted => return mounted.map_err(|refusal| refusal.of(&parts)),
    }
    // mount(2) needs a place: that of a throw-away thread in a mount namespace of its own. The parts are
    // opened there once more: overlayfs takes directories of the mounting namespace only.
    in_own_namespace(|| {
        let parts = Parts::open(layers)?;
        parts
            .options()
            .and_then(|options| Ok(mount_over_root(&options)?))
            .map_err(|refusal| refusal.of(&parts))
    })
}

/// Does work in a throw-away thread whose mount namespace ends with it: what is mounted there and not cloned out of
/// it is gone then.
pub(super) fn in_own_namespace(
    work: impl FnOnce() -> Result<OwnedFd, RootfsError> + Send,
) -> Result<OwnedFd, RootfsError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("overlay".to_owned());
        let thread = thread.spawn_scoped(scope, || {
            enter_private().map_err(RootfsError::Namespace)?;
            work()
        });
        let joined = thread.map_err(RootfsError::Thread)?.join();
        joined.unwrap_or(Err(RootfsError::Namespace(Errno::CANCELED)))
    })
}

fn enter_private() -> Result<(), Errno> {
    // SAFETY: FILES is not unshared: descriptors stay shared with the other threads.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }?;
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
}

/// In a thread that ends with the call: its mount namespace ends with it, what is left is the clone.
fn mount_over_root(options: &CString) -> Result<OwnedFd, Errno> {
    mount(c"overlay", c"/", c"overlay", MountFlags::empty(), options.as_c_str())?;
    // "/" is still the directory below the new mount; "/.." crosses into it.
    let top = openat(CWD, c"/..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let itself = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(top, c"", itself | OpenTreeFlags::OPEN_TREE_CLOEXEC)
}

/// Adds what every overlay has, and makes it.
fn finish(
    context: BorrowedFd<'_>,
    own: &[(&std::ffi::CStr, &[u8])],
    parts: &Parts,
) -> Result<OwnedFd, Refusal> {
    let configure = || {
        for (key, value) in own {
            fsconfig_set_string(context, *key, *value)?;
        }
        fsconfig_set_string(context, c"upperdir", &parts.upper.name)?;
        fsconfig_set_string(context, c"workdir", &parts.work.name)?;
        fsconfig_set_string(context, c"source", c"overlay")?;
        fsconfig_create(context)
    };
    configure().map_err(|errno| Refusal { said: said(context), errno })?;
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
    /// A directory by its descriptor: it has no path, or its path may be long.
    pub(super) fn unnamed(directory: OwnedFd) -> Self {
        let name = format!("/proc/self/fd/{}", directory.as_raw_fd()).into();
        Self { _directory: directory, name }
    }

    pub(super) fn open(path: &Path) -> Result<Self, RootfsError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty())
            .map_err(|source| RootfsError::Open { path: path.to_owned(), source })?;
        let bytes = path.as_os_str().as_bytes();
        let plain = path.is_absolute() && !bytes.iter().any(|byte| b":,\\".contains(byte));
        if plain && bytes.len() <= LONGEST_VALUE {
            return Ok(Self { _directory: directory, name: path.to_owned() });
        }
        Ok(Self::unnamed(directory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn layers(directory: &Path, count: usize, name: &str) -> Layers {
        let make = |name: String| {
            let path = directory.join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let lower = (0..count).map(|number| {
            let layer = make(format!("{name}{number}"));
            fs::write(layer.join("who"), number.to_string()).unwrap();
            layer
        });
        Layers { lower: lower.collect(), upper: make("upper".to_owned()), work: make("work".to_owned()) }
    }

    /// The ways of kernels before 6.8, which newer ones still know.
    #[test]
    fn old_kernels_get_one_string() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped old_kernels_get_one_string, because it needs root");
            return;
        }
        // Short enough for fsconfig; too long for it; with names that need descriptors' paths.
        for (count, name) in [(2, "l"), (30, "layer"), (30, "with:colon")] {
            let directory = tempfile::tempdir().unwrap();
            let root = mount_old(&layers(directory.path(), count, name)).unwrap();
            let who = crate::rootfs::read(root.as_fd(), Path::new("/who"), 9).unwrap();
            assert_eq!(who.as_deref(), Some(&b"0"[..]), "{count} {name}");
        }
    }
}
