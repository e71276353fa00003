//! File trees that a step reads from: what is in them, and how a path of them is found.
//!
//! Owns the look of a tree, whoever holds its bytes: a stage mounted here, or a folder of the client's.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::StepError;
use super::wildcard;
use crate::cancel::Cancellable;
use crate::digest::Digest;
use crate::progress::Progress;

/// More links on the way to one file than anybody has.
const MOST_LINKS: usize = 255;

/// What a name of a tree stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
    CharDevice,
    BlockDevice,
    Socket,
}

/// One name of a tree, links not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// Seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    /// Where a symbolic link points.
    pub link: Option<PathBuf>,
    /// Number of a device.
    pub device: u64,
    /// Device and inode of a file with several names.
    pub hard: Option<(u64, u64)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A tree. Paths are relative to its root, which is `""`, and hold no link but in their last part.
pub trait Files: Sync {
    /// What stands at `path`, if anything.
    fn node(&self, path: &Path) -> Result<Option<Node>, StepError>;

    /// What is in the directory at `path`, by name.
    fn list(&self, path: &Path) -> Result<Vec<(OsString, Node)>, StepError>;

    /// Opens the file at `path`.
    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send + '_>, StepError>;

    /// The digest of the file's content.
    fn content(&self, path: &Path) -> Result<Digest, StepError>;

    /// Says that all below `path` is about to be looked at.
    fn prefetch(&self, _path: &Path) -> Result<(), StepError> {
        Ok(())
    }
}

/// A tree whose files can be read until the build is cancelled.
pub(super) struct UntilCancelled<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) progress: &'a dyn Progress,
}

impl Files for UntilCancelled<'_> {
    fn node(&self, path: &Path) -> Result<Option<Node>, StepError> {
        self.files.node(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<(OsString, Node)>, StepError> {
        if self.progress.is_cancelled() { Err(StepError::Cancelled) } else { self.files.list(path) }
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send + '_>, StepError> {
        Ok(Box::new(Cancellable::new(self.files.open(path)?, self.progress)))
    }

    fn content(&self, path: &Path) -> Result<Digest, StepError> {
        if self.progress.is_cancelled() { Err(StepError::Cancelled) } else { self.files.content(path) }
    }

    fn prefetch(&self, path: &Path) -> Result<(), StepError> {
        self.files.prefetch(path)
    }
}

/// A path with its links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Without links; behind the first name that isn't there, as it was written.
    pub(super) path: PathBuf,
    pub(super) node: Option<Node>,
}

/// Follows `path` from the root of `files`, and never out of it.
pub(super) fn resolve(files: &dyn Files, path: &Path, follow_last: bool) -> Result<Resolved, StepError> {
    let mut ahead: Vec<OsString> = parts(path);
    ahead.reverse();
    let (mut at, mut links) = (PathBuf::new(), 0);
    let mut node = files.node(&at)?;
    while let Some(part) = ahead.pop() {
        if part == ".." {
            at.pop();
            node = files.node(&at)?;
            continue;
        }
        at.push(&part);
        node = if node.as_ref().is_some_and(|node| node.kind == Kind::Directory) {
            files.node(&at)?
        } else {
            None
        };
        let Some(Node { kind: Kind::Symlink, link: Some(target), .. }) = &node else { continue };
        if ahead.is_empty() && !follow_last {
            break;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(StepError::io("following links", path)(rustix::io::Errno::LOOP.into()));
        }
        if target.is_absolute() {
            at = PathBuf::new();
        } else {
            at.pop();
        }
        ahead.extend(parts(target).into_iter().rev());
        node = files.node(&at)?;
    }
    Ok(Resolved { path: at, node })
}

/// The names of a path, `..` among them, `.` and slashes not.
pub(super) fn parts(path: &Path) -> Vec<OsString> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(part).collect()
}

/// What a source's pattern stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// As the pattern spells it: its last part names what is made.
    pub(super) spelled: PathBuf,
    /// Where it is, links followed.
    pub(super) path: PathBuf,
    pub(super) node: Node,
}

/// What `pattern` matches, in order. Without wildcards that is one file, or none.
pub(super) fn find(files: &dyn Files, pattern: &str) -> Result<Vec<Match>, StepError> {
    let mut found = vec![PathBuf::new()];
    let parts = parts(Path::new(pattern));
    for part in &parts {
        let text = part.to_str().filter(|text| wildcard::is_pattern(text));
        let mut next = Vec::new();
        for at in found {
            match text {
                None => next.push(join(&at, part)),
                Some("**") => below(files, &at, &mut next)?,
                Some(text) => children(files, &at, text, &mut next)?,
            }
        }
        found = next;
    }
    let mut matches = Vec::new();
    for spelled in found {
        let Resolved { path, node } = resolve(files, &spelled, true)?;
        if let Some(node) = node {
            matches.push(Match { spelled, path, node });
        }
    }
    matches.dedup_by(|a, b| a.spelled == b.spelled);
    Ok(matches)
}

/// `at` and a name; `..` goes up, never out.
fn join(at: &Path, part: &OsString) -> PathBuf {
    if part == ".." { at.parent().unwrap_or(at).to_owned() } else { at.join(part) }
}

fn children(files: &dyn Files, at: &Path, pattern: &str, next: &mut Vec<PathBuf>) -> Result<(), StepError> {
    let Resolved { path, node } = resolve(files, at, true)?;
    if node.is_none_or(|node| node.kind != Kind::Directory) {
        return Ok(());
    }
    for (name, _) in files.list(&path)? {
        let matched = wildcard::matches(pattern, &name.to_string_lossy());
        if matched
            .ok_or_else(|| StepError::Refused(format!("{pattern:?} is not a pattern that can be matched")))?
        {
            next.push(at.join(name));
        }
    }
    Ok(())
}

/// `**`: the directory and all directories below it.
fn below(files: &dyn Files, at: &Path, next: &mut Vec<PathBuf>) -> Result<(), StepError> {
    let Resolved { path, node } = resolve(files, at, true)?;
    if node.is_none_or(|node| node.kind != Kind::Directory) {
        return Ok(());
    }
    next.push(at.to_owned());
    for (name, node) in files.list(&path)? {
        if node.kind == Kind::Directory {
            below(files, &at.join(name), next)?;
        }
    }
    Ok(())
}

/// Reads a small text of the tree; nothing when there is none.
pub(super) fn read_text(files: &dyn Files, path: &str) -> Result<String, StepError> {
    const LARGEST: u64 = 16 << 20;
    let Resolved { path: found, node } = resolve(files, Path::new(path), true)?;
    if node.is_none_or(|node| node.kind != Kind::File) {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    let read = files.open(&found)?.take(LARGEST).read_to_end(&mut bytes);
    read.map_err(StepError::io("reading", Path::new(path)))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Hashes a reader to its end.
pub(super) fn digest(reader: impl Read) -> io::Result<Digest> {
    let mut hashed = crate::digest::Hashed::new(reader);
    io::copy(&mut hashed, &mut io::sink())?;
    Ok(hashed.finish().0)
}
