//! Dependencies that are declared and not used.
//!
//! A crate counts as used when its name stands anywhere in the code of the package that declares it: a name in a
//! comment is enough, so this finds what was left behind and not everything that could go.

use std::fs;
use std::path::Path;

use crate::metadata::{self, Package};
use crate::run::{Result, root};

/// Declared for the workspace and used by no package yet, with the reason.
const EXPECTED: [(&str, &str); 1] = [("notify", "the development loop watches files with it")];

/// Used by code that is made while building.
const GENERATED: [(&str, &str); 2] = [("hoist-wire", "prost"), ("hoist-wire", "tonic-prost")];

pub(crate) fn check() -> Result {
    let packages = metadata::read()?.packages;
    let mut complaints = of_the_workspace(&fs::read_to_string(root().join("Cargo.toml"))?, &packages);
    for package in &packages {
        let code = code(package.manifest.parent().unwrap_or(Path::new(".")))?;
        let unused = package.dependencies.iter().filter(|name| !mentions(&code, name));
        let unused = unused.filter(|name| !GENERATED.contains(&(package.name.as_str(), name.as_str())));
        complaints.extend(unused.map(|name| format!("{} declares {name} and doesn't use it", package.name)));
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n").into()) }
}

fn of_the_workspace(manifest: &str, packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for name in declared(manifest) {
        let used = packages.iter().any(|package| package.dependencies.iter().any(|used| used == name));
        let complaint = match (used, EXPECTED.iter().any(|(expected, _)| *expected == name)) {
            (false, false) => format!("the workspace declares {name} and no package uses it"),
            (true, true) => format!("{name} is used by now: take it from the list in xtask"),
            _ => continue,
        };
        complaints.push(complaint);
    }
    complaints
}

/// The names in `[workspace.dependencies]`, one a line.
fn declared(manifest: &str) -> Vec<&str> {
    let lines = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once('=')?.0.trim()))
        .collect()
}

/// All Rust text of a package.
fn code(dir: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" {
            text.push_str(&code(&path)?);
        } else if name.ends_with(".rs") {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(text)
}

fn mentions(code: &str, name: &str) -> bool {
    let name = name.replace('-', "_");
    let part_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(&name).any(|(at, _)| {
        !code[..at].ends_with(part_of_a_name) && !code[at + name.len()..].starts_with(part_of_a_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read() {
        let manifest = "[workspace]\na = 1\n[workspace.dependencies]\n# b = 1\nc-d = \"1\"\ne = { version = \"2\" }\n\n[x]\nf = 1\n";
        assert_eq!(declared(manifest), ["c-d", "e"]);
    }

    #[test]
    fn a_name_within_a_name_is_no_mention() {
        assert!(mentions("use c_d::x;", "c-d"));
        assert!(!mentions("use c_d2; abc_d", "c-d"));
    }
}
