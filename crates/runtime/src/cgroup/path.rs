//! Names of control groups: a relative path and what it is relative to.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CgroupError;

/// What a [`CgroupPath`] is relative to, in every hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anchor {
    /// The root of each hierarchy as mounted here. For a privileged agent outside a service unit.
    #[default]
    Root,
    /// The group this process is in, per hierarchy: a sub-tree delegated to us. On version 2 the process
    /// must first move itself into a leaf, as groups with controllers for children hold no processes.
    Own,
}

/// The name of one group, the same in every hierarchy, such as `hoist/7f3a/web-1`.
///
/// It is relative, not empty, and has neither `.` nor `..`, so joining it to a mount point stays below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawPath", into = "RawPath")]
pub struct CgroupPath {
    anchor: Anchor,
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct RawPath {
    anchor: Anchor,
    path: PathBuf,
}

impl CgroupPath {
    /// Checks and makes a name. A leading `/` is taken off, as the OCI `cgroupsPath` has one.
    pub fn new(anchor: Anchor, path: impl AsRef<Path>) -> Result<CgroupPath, CgroupError> {
        let given = path.as_ref();
        let relative = given.strip_prefix("/").unwrap_or(given);
        let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
        // The kernel refuses names with a newline, and one would break every line of /proc/PID/cgroup.
        let printable = !relative.as_os_str().as_encoded_bytes().contains(&b'\n');
        if relative.as_os_str().is_empty() || !plain || !printable {
            return Err(CgroupError::InvalidPath { path: given.to_owned() });
        }
        Ok(CgroupPath { anchor, path: relative.components().collect() })
    }

    /// The group called `name` below this one.
    pub fn child(&self, name: impl AsRef<Path>) -> Result<CgroupPath, CgroupError> {
        CgroupPath::new(self.anchor, self.path.join(CgroupPath::new(self.anchor, name)?.path))
    }

    /// What the path is relative to.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// The path below the anchor; never empty.
    pub fn as_path(&self) -> &Path {
        &self.path
    }

    /// Whether a text in the form of /proc/PID/cgroup names this group or one below it, in any hierarchy.
    ///
    /// Only the path below the anchor is compared: what is above it depends on the reader's cgroup
    /// namespace.
    pub fn is_named_in(&self, proc_cgroup: &str) -> bool {
        let path = |line: &'_ str| line.splitn(3, ':').nth(2).map(str::to_owned);
        proc_cgroup.lines().filter_map(path).any(|path| self.below_in(&path).is_some())
    }

    /// What follows this group in the path of one of a line of /proc/PID/cgroup: empty for the group itself, and
    /// `None` for one that isn't below it.
    pub(super) fn below_in(&self, path: &str) -> Option<PathBuf> {
        let ours: Vec<Component<'_>> = self.path.components().collect();
        let theirs: Vec<Component<'_>> = Path::new(path).components().collect();
        let at = theirs.windows(ours.len()).position(|part| part == ours)?;
        Some(theirs[at + ours.len()..].iter().collect())
    }

    /// The path and those above it, the outermost first: `a`, `a/b`, `a/b/c`.
    pub(super) fn levels(&self) -> Vec<&Path> {
        let mut levels: Vec<&Path> =
            self.path.ancestors().filter(|level| !level.as_os_str().is_empty()).collect();
        levels.reverse();
        levels
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.anchor {
            Anchor::Root => write!(f, "/{}", self.path.display()),
            Anchor::Own => write!(f, "./{}", self.path.display()),
        }
    }
}

impl TryFrom<RawPath> for CgroupPath {
    type Error = CgroupError;

    fn try_from(raw: RawPath) -> Result<CgroupPath, CgroupError> {
        CgroupPath::new(raw.anchor, raw.path)
    }
}

impl From<CgroupPath> for RawPath {
    fn from(path: CgroupPath) -> RawPath {
        RawPath { anchor: path.anchor, path: path.path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_anchor_are_refused() {
        for bad in ["", "/", "..", "a/../b", "./a", "a/..", "a\nb"] {
            assert!(CgroupPath::new(Anchor::Root, bad).is_err(), "{bad:?}");
        }
        let parent = CgroupPath::new(Anchor::Root, "a").unwrap();
        assert!(parent.child("../b").is_err());
        assert!(serde_json::from_str::<CgroupPath>(r#"{"anchor":"root","path":"../b"}"#).is_err());
    }

    #[test]
    fn levels_go_from_the_outermost_inwards() {
        let path = CgroupPath::new(Anchor::Own, "/a/b//c/").unwrap();
        assert_eq!(path.levels(), [Path::new("a"), Path::new("a/b"), Path::new("a/b/c")]);
        assert_eq!(path.to_string(), "./a/b/c");
    }
}
