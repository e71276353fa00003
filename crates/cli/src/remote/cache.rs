//! The user's cache of what was fetched: trees named by what is in them, so that none is ever changed or fetched twice.
//!
//! A tree is made beside its place and renamed into it, under a lock of its own. Of several commands, one fetches and
//! the others wait; one that is killed leaves a part that the next one to want the same takes away.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::RemoteError;

/// What of the cache's path is ours.
const NAME: &str = "hoist";

/// Where fetched trees are: `git/<commit>`, `oci/<digest>`.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$XDG_CACHE_HOME/hoist`, else `~/.cache/hoist`; made when it isn't there. Nobody else may look into it: what is
    /// fetched with a person's credentials is theirs.
    pub(super) fn open() -> Result<Self, RemoteError> {
        let root = root().ok_or(RemoteError::NoCache)?;
        for folder in [root.join("git"), root.join("oci"), root.join("names")] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(RemoteError::io(&folder))?;
        }
        Ok(Self { root })
    }

    /// The fetched tree that a path is in, as far as names tell.
    pub(super) fn tree_of(path: &Path) -> Option<PathBuf> {
        let root = root()?;
        let mut parts = path.strip_prefix(&root).ok()?.components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(kind)), Some(Component::Normal(key))) => Some(root.join(kind).join(key)),
            _ => None,
        }
    }

    /// A tree that is here.
    pub(super) fn tree(&self, kind: &str, key: &str) -> Option<PathBuf> {
        Some(self.root.join(kind).join(key)).filter(|path| path.is_dir())
    }

    /// The tree of this key, made by `make` in an empty folder when it isn't here.
    pub(super) fn make(
        &self,
        kind: &str,
        key: &str,
        make: impl FnOnce(&Path) -> Result<(), RemoteError>,
    ) -> Result<PathBuf, RemoteError> {
        if let Some(path) = self.tree(kind, key) {
            return Ok(path);
        }
        let folder = self.root.join(kind);
        let _lock = lock(&folder.join(format!("{key}.lock")))?;
        if let Some(path) = self.tree(kind, key) {
            return Ok(path);
        }
        let part = self.part(kind, key)?;
        let place = folder.join(key);
        let made = make(&part).and_then(|()| fs::rename(&part, &place).map_err(RemoteError::io(&place)));
        if made.is_err() {
            let _ = fs::remove_dir_all(&part);
        }
        made.map(|()| place)
    }

    /// An empty folder to make a tree in. Call it with the lock of the key held: then whatever part is there was left by
    /// a command that was killed, and is removed.
    fn part(&self, kind: &str, key: &str) -> Result<PathBuf, RemoteError> {
        let folder = self.root.join(kind);
        let prefix = format!("{key}.part-");
        for entry in fs::read_dir(&folder).map_err(RemoteError::io(&folder))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                // A process that outlived its command may still write there; then the next one takes it away.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let part = folder.join(format!("{prefix}{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&part);
        made.map_err(RemoteError::io(&part)).map(|()| part)
    }

    /// Works in a folder that goes afterwards, alone among those of the same key.
    pub(super) fn scratch<T>(
        &self,
        key: &str,
        work: impl FnOnce(&Path) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let _lock = lock(&self.root.join("names").join(format!("{key}.lock")))?;
        let part = self.part("names", key)?;
        let done = work(&part);
        let _ = fs::remove_dir_all(&part);
        done
    }

    /// What a name was found to mean, where that can't change.
    pub(super) fn noted(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join("names").join(key_of(name))).ok()?;
        let (known, meaning) = text.split_once('\n')?;
        (known == name).then(|| meaning.trim_end().to_owned())
    }

    /// Notes what a name means. A note that is lost is found again.
    pub(super) fn note(&self, name: &str, meaning: &str) {
        let path = self.root.join("names").join(key_of(name));
        let part = path.with_extension(format!("part-{}", std::process::id()));
        let written =
            fs::write(&part, format!("{name}\n{meaning}\n")).and_then(|()| fs::rename(&part, &path));
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
    }
}

/// A file's name for a text of any length; who reads the file compares the text.
pub(super) fn key_of(name: &str) -> String {
    // FNV-1a, 64 bits: it must be the same in every version.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn root() -> Option<PathBuf> {
    // A relative path is to be ignored (XDG Base Directory Specification).
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    base.map(|base| base.join(NAME))
}

fn lock(path: &Path) -> Result<File, RemoteError> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(RemoteError::io(path))?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Err(rustix::io::Errno::INTR) => {}
            locked => {
                let locked = locked.map_err(io::Error::from);
                return locked.map_err(RemoteError::io(path)).map(|()| file);
            }
        }
    }
}
