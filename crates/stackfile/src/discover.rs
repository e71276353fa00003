//! Which stack file a folder means, when none is named.

use crate::reader::{FileKind, FileReader};
use std::path::{Path, PathBuf};

/// Names of stack files, the preferred one first.
pub const NAMES: [&str; 6] =
    ["stack.yaml", "stack.yml", "compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// Names of files that are laid over the stack file beside them.
pub const OVERRIDE_NAMES: [&str; 6] = [
    "stack.override.yaml",
    "stack.override.yml",
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// The folder.
    pub folder: PathBuf,
    /// The stack file, then the override where there is one.
    pub files: Vec<PathBuf>,
    /// Other candidates beside it, which were not taken.
    pub ignored: Vec<PathBuf>,
}

/// Looks in a folder and those above it.
#[must_use]
pub fn discover(start: &Path, reader: &dyn FileReader) -> Option<Discovered> {
    start.ancestors().find_map(|folder| {
        let mut mains = present(folder, &NAMES, reader).into_iter();
        let main = mains.next()?;
        let mut overrides = present(folder, &OVERRIDE_NAMES, reader).into_iter();
        let files = std::iter::once(main).chain(overrides.next()).collect();
        Some(Discovered { folder: folder.to_owned(), files, ignored: mains.chain(overrides).collect() })
    })
}

fn present(folder: &Path, names: &[&str], reader: &dyn FileReader) -> Vec<PathBuf> {
    let paths = names.iter().map(|name| folder.join(name));
    paths.filter(|path| reader.kind(path) == Some(FileKind::File)).collect()
}
