//! House rules that no other tool checks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::metadata::{self, Workspace};
use crate::run::{Result, root};

const MOST_LINES: usize = 500;

pub(crate) fn check() -> Result {
    let workspace = metadata::read()?;
    let mut complaints = without_lints(&workspace)?;
    for file in sources(&root().join("crates"))? {
        let lines = lines_without_tests(&fs::read_to_string(&file)?);
        if lines > MOST_LINES {
            let file = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
            complaints.push(format!("{file} has {lines} lines without its tests; {MOST_LINES} is the most"));
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n").into()) }
}

/// A crate that doesn't ask for them gets none of the workspace's lints.
fn without_lints(workspace: &Workspace) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for package in &workspace.packages {
        let manifest = fs::read_to_string(&package.manifest)?;
        let lines: Vec<&str> = manifest.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if !lines.windows(2).any(|pair| pair == ["[lints]", "workspace = true"]) {
            complaints.push(format!("{} lacks `[lints] workspace = true`", package.name));
        }
    }
    Ok(complaints)
}

/// The Rust files of `src` folders, test modules in files of their own left out.
fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" && name != "target" {
            files.extend(sources(&path)?);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Tests stand last in a file, by our habit.
fn lines_without_tests(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_do_not_count() {
        assert_eq!(lines_without_tests("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
        assert_eq!(lines_without_tests("a\n    #[cfg(test)]\nb\n"), 3);
    }
}
