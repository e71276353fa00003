//! Damaged files of the state are kept for a person to look at, under a name that says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Between a file's name and the number of the damaged one that once had it.
const DAMAGED: &str = ".damaged-";

/// Moves a damaged file to the first free of `NAME.damaged-1`, `NAME.damaged-2`, …, and returns where it is now.
///
/// # Errors
/// When it can't be renamed.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    set_aside_as(path, path)
}

/// The same, under the name that the file would have had at `name`.
pub(crate) fn set_aside_as(path: &Path, name: &Path) -> io::Result<PathBuf> {
    let aside = |number: u32| {
        let mut file = name.file_name().unwrap_or_default().to_owned();
        file.push(format!("{DAMAGED}{number}"));
        name.with_file_name(file)
    };
    let free = (1..).map(aside).find(|path| fs::symlink_metadata(path).is_err());
    let aside = free.expect("there are more numbers than files");
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// The damaged files in a folder that were set aside.
#[must_use]
pub fn set_asides(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().contains(DAMAGED)).collect();
    found.sort();
    found
}
