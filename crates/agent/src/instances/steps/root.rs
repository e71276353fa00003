//! What of a host folder used as a base (`x-hoist.rootfs`) an instance sees: what is installed there, not what its
//! people and services keep. What isn't named here as seen isn't, whenever it comes to be.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hoist_runtime::rootfs::view::{Part, ROOT, Sight};

use super::secrets::{self, names};
use crate::instances::files::NAMES;

/// Seen at the top, beside everything that begins with "lib".
const SHOWN: [&str; 5] = ["bin", "etc", "opt", "sbin", "usr"];

/// Seen at the top, but empty.
const EMPTY: [&str; 12] =
    ["dev", "home", "media", "mnt", "proc", "root", "run", "run/lock", "srv", "sys", "tmp", "var"];

/// Below `/var`, with the folders in them, which programs expect to be there; all of them empty.
const FRAMES: [&str; 4] = ["var/cache", "var/lib", "var/log", "var/spool"];

/// Below `/var`, what programs read that the package manager or a tool of it has written there.
const VAR: [&str; 14] = [
    "var/cache/fontconfig",
    "var/lib/alternatives",
    "var/lib/ca-certificates-java",
    "var/lib/dictionaries-common",
    "var/lib/dpkg",
    "var/lib/emacsen-common",
    "var/lib/gems",
    "var/lib/ghc",
    "var/lib/python",
    "var/lib/rpm",
    "var/lib/sgml-base",
    "var/lib/texmf",
    "var/lib/usbutils",
    "var/lib/xml-core",
];

/// Where state of Hoist is unless it is told otherwise.
const DEFAULT_ROOT: &str = "/var/lib/hoist";

/// What the folder of a root has, among others.
const MARK: &str = "agent.lock";

/// How long what was found counts: a stack's instances are started within a moment, and each would look at some thousand
/// names. What comes to be in between is as if it had come just after.
const FRESH: Duration = Duration::from_secs(2);

/// What of each base is seen, looked up anew after a moment.
#[derive(Debug, Default)]
pub(crate) struct Bases {
    known: Mutex<BTreeMap<PathBuf, (Instant, Vec<Part>)>>,
}

impl Bases {
    /// The parts of the base at `dir` that are seen, with Hoist's state at `root`.
    pub(super) fn parts(&self, dir: &Path, root: &Path) -> Vec<Part> {
        // Held while it is looked up: others would look for the same.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(dir) {
            Some((when, parts)) if when.elapsed() < FRESH => parts.clone(),
            _ => {
                let found = parts(dir, root);
                known.insert(dir.to_owned(), (Instant::now(), found.clone()));
                found
            }
        }
    }
}

/// The parts of the base at `dir` that are seen, with Hoist's state at `root`.
fn parts(dir: &Path, root: &Path) -> Vec<Part> {
    let mut parts: Vec<Part> = EMPTY.map(|name| part(name, Sight::Empty)).into();
    let libraries = names(dir).into_iter().filter(|name| name.starts_with("lib"));
    let shown = SHOWN.iter().map(ToString::to_string).chain(libraries).chain(VAR.map(str::to_owned));
    parts.extend(shown.map(|name| part(name, Sight::Shown)));
    for frame in FRAMES {
        parts.push(part(frame, Sight::Empty));
        let inside = names(&dir.join(frame)).into_iter().map(|name| format!("{frame}/{name}"));
        parts
            .extend(inside.filter(|name| !VAR.contains(&name.as_str())).map(|name| part(name, Sight::Empty)));
    }
    let var = names(&dir.join("var")).into_iter().map(|name| format!("var/{name}"));
    parts.extend(var.filter(|name| !FRAMES.contains(&name.as_str())).map(|name| part(name, Sight::Empty)));
    parts.extend(secrets::of(dir).into_iter().map(|path| Part { path, sight: Sight::Hidden }));
    parts.extend(states(dir, root).into_iter().map(|path| Part { path, sight: Sight::Hidden }));
    // Only what must not be seen is named before it is there, in a folder that is.
    parts.retain(|part| match part.sight {
        Sight::Hidden => part.path.parent().is_none_or(|folder| is_folder(&dir.join(folder))),
        _ => fs::symlink_metadata(dir.join(&part.path)).is_ok(),
    });
    // A mount lies on each of them: without one it would be made in every instance's own layer.
    let is_or_may_be_folder = !fs::symlink_metadata(dir.join("etc")).is_ok_and(|found| !found.is_dir());
    if is_or_may_be_folder {
        let places = NAMES.map(|name| format!("etc/{name}")).into_iter();
        let absent = places.filter(|place| fs::symlink_metadata(dir.join(place)).is_err());
        parts.extend(absent.map(|place| part(place, Sight::File)));
    }
    // A folder before what is in it; and what is shown is named once.
    parts.sort();
    parts.dedup_by(|later, earlier| later.path == earlier.path);
    parts
}

fn part(path: impl Into<PathBuf>, sight: Sight) -> Part {
    Part { path: path.into(), sight }
}

/// Roots of Hoist in what is shown. The rest of the base is not seen anyway.
fn states(dir: &Path, root: &Path) -> Vec<PathBuf> {
    let mut states = vec![root.to_owned(), PathBuf::from(DEFAULT_ROOT)];
    for place in ["opt", "usr/local", "etc"] {
        let place = dir.join(place);
        let near = names(&place).into_iter().map(|name| place.join(name));
        let near: Vec<PathBuf> = near.filter(|path| is_folder(path)).collect();
        let further = near.iter().flat_map(|path| names(path).into_iter().map(|name| path.join(name)));
        states.extend(further.chain(near.iter().cloned()).filter(|path| path.join(MARK).exists()));
    }
    let inside = states.iter().filter_map(|path| path.strip_prefix(dir).ok());
    let is_shown = |path: &&Path| path.iter().next().is_some_and(|top| is_shown(&top.to_string_lossy()));
    inside.filter(is_shown).map(Path::to_owned).collect()
}

fn is_shown(top: &str) -> bool {
    SHOWN.contains(&top) || top.starts_with("lib")
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// Moves what an instance has written, under an earlier version, to where its root now begins.
pub(super) fn settle(upper: &Path) -> io::Result<()> {
    let root = upper.join(ROOT);
    for name in names(upper).into_iter().filter(|name| name != ROOT) {
        if !is_folder(&root) {
            fs::create_dir(&root)?;
            fs::set_permissions(&root, fs::metadata(upper)?.permissions())?;
        }
        fs::rename(upper.join(&name), root.join(&name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(files: &[&str], root: &str) -> Vec<String> {
        let base = tempfile::tempdir().unwrap();
        for path in files {
            let path = base.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let parts = parts(base.path(), &base.path().join(root));
        let sight = |path: &str| {
            let over = parts.iter().rev().find(|part| Path::new(path).starts_with(&part.path));
            over.is_some_and(|part| part.sight == Sight::Shown)
        };
        files.iter().filter(|path| sight(path)).map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn what_is_installed_is_seen_and_nothing_else() {
        let files = [
            "usr/bin/env",
            "lib64/ld.so",
            "libx32/ld.so",
            "opt/app/run",
            "etc/passwd",
            "var/lib/dpkg/status",
            "etc/shadow",
            "home/ann/.ssh/id",
            "root/.netrc",
            "srv/data/db",
            "var/lib/postgresql/base",
            "var/lib/hoist/store.redb",
            "var/spool/cron/root",
            "backup/dump.sql",
            "run/secrets/x",
        ];
        assert_eq!(seen(&files, "var/lib/hoist"), files[..6]);
    }

    #[test]
    fn roots_of_hoist_are_not_seen_wherever_they_are() {
        let files = [
            "opt/hoist/store.redb",
            "opt/other/agent.lock",
            "usr/local/deep/er/agent.lock",
            "opt/app/run",
            "usr/local/deep/run",
        ];
        assert_eq!(seen(&files, "opt/hoist"), files[3..]);
        assert_eq!(seen(&["opt/store.redb", "usr/bin/env"], "opt"), ["usr/bin/env"]);
    }

    #[test]
    fn what_was_written_under_an_earlier_version_is_kept() {
        let upper = tempfile::tempdir().unwrap();
        fs::create_dir_all(upper.path().join("etc")).unwrap();
        fs::write(upper.path().join("etc/mine"), "1").unwrap();
        settle(upper.path()).unwrap();
        settle(upper.path()).unwrap();
        assert_eq!(fs::read_to_string(upper.path().join(ROOT).join("etc/mine")).unwrap(), "1");
        assert_eq!(names(upper.path()), [ROOT]);
    }
}
