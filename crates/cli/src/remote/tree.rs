//! Makes a checkout what its commit says, whoever checked it out: no repository in it, and no mode of the user's umask.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::RemoteError;

/// Takes every `.git` away, and gives files and folders the modes that git knows.
pub(super) fn settle(tree: &Path) -> Result<(), RemoteError> {
    let mut open = vec![tree.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(RemoteError::io(&folder))? {
            let entry = entry.map_err(RemoteError::io(&folder))?;
            let path = entry.path();
            let meta = entry.metadata().map_err(RemoteError::io(&path))?;
            if entry.file_name() == ".git" {
                let removed = if meta.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                removed.map_err(RemoteError::io(&path))?;
            } else if meta.is_dir() {
                set(&path, 0o755)?;
                open.push(path);
            } else if meta.is_file() {
                set(&path, if meta.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 })?;
            }
        }
    }
    set(tree, 0o755)
}

fn set(path: &Path, mode: u32) -> Result<(), RemoteError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(RemoteError::io(path))
}
