//! Finds the program before anything is launched, so that a misspelt command is a clear error at once.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, Stat, fstat};
use rustix::io::Errno;

use crate::rootfs::{self, RootfsError};
use crate::users::Identity;

/// What to look for, where, and as whom.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// The root file system.
    pub root: BorrowedFd<'a>,
    /// The first argument of the command.
    pub argv0: &'a str,
    /// The value of `PATH` in the process's environment.
    pub path: &'a str,
    /// The working directory, for relative names.
    pub cwd: &'a Path,
    /// Who will run it.
    pub identity: &'a Identity,
    /// Whether volumes or other mounts will lie over the root: the program may come from one of them.
    pub mounts: bool,
}

/// Why a command can't be run.
#[derive(Debug, thiserror::Error)]
pub enum ExecutableError {
    /// No such file in any directory of `PATH`.
    #[error("{0}: executable file not found in PATH ({1})")]
    NotInPath(String, String),
    /// No such file.
    #[error("{0}: no such file in the image")]
    NotFound(PathBuf),
    /// The user may not execute it.
    #[error("{0}: permission denied: it is not executable for uid {1}")]
    Denied(PathBuf, u32),
    /// It is a directory.
    #[error("{0}: is a directory")]
    Directory(PathBuf),
    /// The root can't be read.
    #[error(transparent)]
    Read(RootfsError),
}

/// What a path turned out to be.
enum PathKind {
    Executable,
    Nothing,
    Denied,
    Directory,
}

/// Finds the program. `None` when it can't be known before the mounts are there; the launch then searches
/// again and tells as well.
///
/// # Errors
///
/// When it is certain that the command can't be executed.
pub fn find(search: &Search<'_>) -> Result<Option<PathBuf>, ExecutableError> {
    let found = if search.argv0.contains('/') { one(search) } else { in_path(search) };
    match found {
        Ok(path) => Ok(Some(path)),
        Err(ExecutableError::Read(error)) => Err(ExecutableError::Read(error)),
        // A link of the image may lead into a mount as well, so any mount makes "not found" uncertain.
        Err(_) if search.mounts => Ok(None),
        Err(error) => Err(error),
    }
}

fn one(search: &Search<'_>) -> Result<PathBuf, ExecutableError> {
    let path = search.cwd.join(search.argv0);
    match look(search, &path)? {
        PathKind::Executable => Ok(path),
        PathKind::Nothing => Err(ExecutableError::NotFound(path)),
        PathKind::Denied => Err(ExecutableError::Denied(path, search.identity.uid)),
        PathKind::Directory => Err(ExecutableError::Directory(path)),
    }
}

/// The first that can be executed; if none can, the first that is there says why.
fn in_path(search: &Search<'_>) -> Result<PathBuf, ExecutableError> {
    let mut refused = None;
    for directory in search.path.split(':') {
        let path = search.cwd.join(directory).join(search.argv0);
        match look(search, &path)? {
            PathKind::Executable => return Ok(path),
            PathKind::Denied => _ = refused.get_or_insert(path),
            PathKind::Nothing | PathKind::Directory => {}
        }
    }
    Err(match refused {
        Some(path) => ExecutableError::Denied(path, search.identity.uid),
        None => ExecutableError::NotInPath(search.argv0.to_owned(), search.path.to_owned()),
    })
}

fn look(search: &Search<'_>, path: &Path) -> Result<PathKind, ExecutableError> {
    let opened = match rootfs::locate(search.root, path, OFlags::PATH) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(PathKind::Nothing),
        Err(Errno::ACCESS) => return Ok(PathKind::Denied),
        opened => opened.and_then(fstat),
    };
    let failed = |source| ExecutableError::Read(RootfsError::Read { path: path.to_owned(), source });
    let stat = opened.map_err(failed)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => PathKind::Directory,
        FileType::RegularFile if may_execute(&stat, search.identity) => PathKind::Executable,
        _ => PathKind::Denied,
    })
}

/// The kernel's rule (inode(7)) for a process without capabilities; root needs one execute bit of any kind.
fn may_execute(stat: &Stat, identity: &Identity) -> bool {
    let bits = if identity.uid == 0 {
        0o111
    } else if identity.uid == stat.st_uid {
        0o100
    } else if identity.gid == stat.st_gid || identity.groups.contains(&stat.st_gid) {
        0o010
    } else {
        0o001
    };
    stat.st_mode & bits != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in ["bin", "usr/bin", "app/dir"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        for (file, mode) in [("usr/bin/tool", 0o755), ("bin/data", 0o644), ("app/mine", 0o700)] {
            fs::write(root.path().join(file), "x").unwrap();
            fs::set_permissions(root.path().join(file), fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink("/usr/bin/tool", root.path().join("bin/link")).unwrap();
        symlink("/../../../etc/hostname", root.path().join("bin/out")).unwrap();
        root
    }

    fn show(argv0: &str, uid: u32, mounts: bool) -> String {
        let tree = tree();
        let root = fs::File::open(tree.path()).unwrap();
        let identity = Identity { uid, gid: uid, groups: vec![uid], home: "/".to_owned() };
        let search = Search {
            root: root.as_fd(),
            argv0,
            path: "/usr/local/bin:/bin:/usr/bin:/app",
            cwd: Path::new("/app"),
            identity: &identity,
            mounts,
        };
        match find(&search) {
            Ok(found) => format!("{found:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn found_or_told_why_not() {
        let table = [
            ("tool", r#"Some("/usr/bin/tool")"#),
            ("link", r#"Some("/bin/link")"#),
            ("./mine", r#"Some("/app/./mine")"#),
            ("/bin/data", "/bin/data: permission denied: it is not executable for uid 0"),
            ("data", "/bin/data: permission denied: it is not executable for uid 0"),
            ("dir", "dir: executable file not found in PATH (/usr/local/bin:/bin:/usr/bin:/app)"),
            ("/app/dir", "/app/dir: is a directory"),
            ("/bin/out", "/bin/out: no such file in the image"),
            ("nginxx", "nginxx: executable file not found in PATH (/usr/local/bin:/bin:/usr/bin:/app)"),
        ];
        for (argv0, expected) in table {
            assert_eq!(show(argv0, 0, false), expected, "{argv0}");
        }
    }

    #[test]
    fn another_users_file_is_denied() {
        assert_eq!(
            show("mine", 4000, false),
            "/app/mine: permission denied: it is not executable for uid 4000"
        );
    }

    #[test]
    fn with_mounts_nothing_is_certain_but_success() {
        assert_eq!(show("nginxx", 0, true), "None");
        assert_eq!(show("tool", 0, true), r#"Some("/usr/bin/tool")"#);
    }
}
