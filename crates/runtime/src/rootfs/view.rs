//! A folder of the host as a base of which parts alone are seen, whatever is in the others later.
//!
//! One overlay does it. Above the folder lies a layer of our own, in memory: a tree that names what is shown and
//! nothing else. A shown folder in it is redirected to the host's; an empty or hidden one is opaque, or a whiteout.
//! The root that a container gets is not the overlay's own, which always merges with the folder's root, but a
//! folder of our layer: under it there is nothing that our layer doesn't name. Masks that are mounted over secrets
//! would need to know them all; they would lie on the container's mount table, too, where a privileged one can
//! take them off.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags, mknodat, openat, setxattr};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::RootfsError;
use super::overlay::{self, Part as Layer, Parts};

/// The folder of our layer that becomes the container's root; also the folder of `upper` that its writes are in.
pub const ROOT: &str = ".hoist-root";

/// A folder of the host, what of it is seen, and where writes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The folder. Mounts below it are not part of it.
    pub base: PathBuf,
    /// What is seen, a folder before what is in it. What is not named is seen only inside a shown folder.
    pub parts: Vec<Part>,
    /// Where writes go.
    pub upper: PathBuf,
    /// An empty directory on the file system of `upper`, for overlayfs's own use.
    pub work: PathBuf,
}

/// A part of the base.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Its path, from the base on.
    pub path: PathBuf,
    /// How it is seen.
    pub sight: Sight,
}

/// How a part of the base is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// In a shown folder: a folder is seen empty, anything else not at all, also when it isn't there yet.
    Hidden,
    /// As it is. For folders and links.
    Shown,
    /// A folder is seen with its owner and mode, and empty; a link as it is.
    Empty,
    /// An empty file, where the base has nothing of that name.
    File,
}

/// Assembles the view; the mounts are made in a throw-away mount namespace.
pub(super) fn mount_view(view: &View) -> Result<OwnedFd, RootfsError> {
    overlay::in_own_namespace(|| {
        let layer = memory().map_err(RootfsError::Namespace)?;
        let place = PathBuf::from(format!("/proc/self/fd/{}", layer.as_raw_fd()));
        let tree = Tree {
            base: &view.base,
            root: place.join(ROOT),
            folders: RefCell::default(),
            made: RefCell::default(),
        };
        tree.build(&view.parts)?;
        let base = openat(CWD, &view.base, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|source| RootfsError::Open { path: view.base.clone(), source })?;
        let lower = vec![Layer::unnamed(layer), Layer::unnamed(base)];
        let parts = Parts { lower, upper: Layer::open(&view.upper)?, work: Layer::open(&view.work)? };
        let whole = parts.mount_redirected()?;
        // A part of a mount can be cloned only when the mount is attached somewhere.
        let root = || {
            attach(&whole)?;
            let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            open_tree(&whole, ROOT, clone)
        };
        root().map_err(RootfsError::Namespace)
    })
}

/// A file system in memory, attached over the root of this namespace: layers must be of the namespace's mounts.
fn memory() -> rustix::io::Result<OwnedFd> {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), c"mode", c"755")?;
    fsconfig_create(context.as_fd())?;
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    attach(&mount)?;
    Ok(mount)
}

/// Over "/": paths still lead through what lies below it.
fn attach(mount: &OwnedFd) -> rustix::io::Result<()> {
    move_mount(mount, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Our layer while it is made. Nobody else sees it, so it is made by paths.
struct Tree<'a> {
    base: &'a Path,
    root: PathBuf,
    /// Whether paths of the base are folders: many parts are in the same few.
    folders: RefCell<HashMap<PathBuf, bool>>,
    /// What our layer has of them.
    made: RefCell<HashSet<PathBuf>>,
}

impl Tree<'_> {
    fn build(&self, parts: &[Part]) -> Result<(), RootfsError> {
        let failed = |path: &Path| {
            let path = self.base.join(path);
            move |source: io::Error| RootfsError::View { path, source }
        };
        let root = || {
            self.folder(Path::new(""), &fs::metadata(self.base)?)?;
            mark(&self.root, c"trusted.overlay.opaque", b"y")
        };
        root().map_err(failed(Path::new("")))?;
        parts.iter().try_for_each(|part| self.add(part).map_err(failed(&part.path)))
    }

    fn add(&self, part: &Part) -> io::Result<()> {
        if part.sight == Sight::File {
            self.parents(&part.path)?;
            return fs::File::create(self.root.join(&part.path))?
                .set_permissions(Permissions::from_mode(0o644));
        }
        // A link on the way leads to another part of the base, and that one is seen as it is said for it.
        if !part.path.ancestors().skip(1).all(|path| self.is_folder(path)) {
            return Ok(());
        }
        let found = match fs::symlink_metadata(self.base.join(&part.path)) {
            Ok(found) => Some(found),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                None
            }
            Err(error) => return Err(error),
        };
        let at = self.root.join(&part.path);
        match (part.sight, found) {
            (Sight::Hidden, None) => self.whiteout(&part.path),
            (Sight::Hidden, Some(found)) if !found.is_dir() => self.whiteout(&part.path),
            (_, None) => Ok(()),
            (_, Some(found)) if found.is_symlink() => {
                self.parents(&part.path)?;
                symlink(fs::read_link(self.base.join(&part.path))?, at)
            }
            (_, Some(found)) if !found.is_dir() => Ok(()),
            (sight, Some(found)) => {
                self.parents(&part.path)?;
                self.folder(&part.path, &found)?;
                match sight {
                    Sight::Shown => {
                        let path = Path::new("/").join(&part.path);
                        mark(&at, c"trusted.overlay.redirect", path.as_os_str().as_encoded_bytes())
                    }
                    Sight::Empty | Sight::Hidden | Sight::File => mark(&at, c"trusted.overlay.opaque", b"y"),
                }
            }
        }
    }

    fn is_folder(&self, path: &Path) -> bool {
        let look = || fs::symlink_metadata(self.base.join(path)).is_ok_and(|found| found.is_dir());
        let mut folders = self.folders.borrow_mut();
        folders.get(path).copied().unwrap_or_else(|| {
            let found = look();
            folders.insert(path.to_owned(), found);
            found
        })
    }

    /// Where nothing of that name is to be seen.
    fn whiteout(&self, path: &Path) -> io::Result<()> {
        self.parents(path)?;
        Ok(mknodat(CWD, self.root.join(path), FileType::CharacterDevice, Mode::empty(), 0)?)
    }

    /// The folders above a path that our layer doesn't have yet, like the base's. One that the base doesn't have either
    /// is root's and open to all.
    fn parents(&self, path: &Path) -> io::Result<()> {
        let mut above: Vec<_> = path.ancestors().skip(1).collect();
        above.reverse();
        for folder in above {
            if self.made.borrow().contains(folder) {
                continue;
            }
            let at = self.root.join(folder);
            match fs::symlink_metadata(self.base.join(folder)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir(&at)?;
                    fs::set_permissions(&at, Permissions::from_mode(0o755))?;
                    self.made.borrow_mut().insert(folder.to_owned());
                }
                found => self.folder(folder, &found?)?,
            }
        }
        Ok(())
    }

    fn folder(&self, path: &Path, like: &Metadata) -> io::Result<()> {
        let at = self.root.join(path);
        self.made.borrow_mut().insert(path.to_owned());
        match fs::create_dir(&at) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        if (like.uid(), like.gid()) != (0, 0) {
            chown(&at, Some(like.uid()), Some(like.gid()))?;
        }
        fs::set_permissions(&at, Permissions::from_mode(like.mode() & 0o7777))
    }
}

fn mark(at: &Path, name: &CStr, value: &[u8]) -> io::Result<()> {
    Ok(setxattr(at, name, value, XattrFlags::empty())?)
}
