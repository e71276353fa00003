//! Checkouts of commits.

use std::path::{Path, PathBuf};

use hoist_stackfile::Repository;

use super::cache::Cache;
use super::commit::{self, ResolvedCommit};
use super::git::{begin, everything, git};
use super::{RemoteError, tree};

/// The files of a repository's commit, without its `.git`, with its submodules.
pub(super) fn checkout(cache: &Cache, repository: &Repository) -> Result<PathBuf, RemoteError> {
    let found = commit::find(cache, repository)?;
    if let Some(wanted) = repository.commit.as_ref().filter(|wanted| !found.commit.starts_with(&**wanted)) {
        return Err(RemoteError::Commit { found: found.commit, wanted: wanted.clone() });
    }
    cache.make("git", &found.commit, |folder| {
        fetch(folder, &repository.url, &found)?;
        git(folder, &["-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", &found.commit])?;
        submodules(folder)?;
        tree::settle(folder)
    })
}

/// Brings a commit here with as little as the server can do: by its hash, by its name, or all there is.
fn fetch(folder: &Path, url: &str, found: &ResolvedCommit) -> Result<(), RemoteError> {
    begin(folder, url, &found.commit)?;
    let has = || git(folder, &["cat-file", "-e", &format!("{}^{{commit}}", found.commit)]).is_ok();
    let names = std::iter::once(&found.commit).chain(&found.reference);
    for name in names {
        // Without a shallow protocol (dumb HTTP) it is tried below.
        if git(folder, &["fetch", "--quiet", "--no-tags", "--depth=1", "origin", name]).is_ok() && has() {
            return Ok(());
        }
    }
    everything(folder, found.reference.as_deref())?;
    if has() { Ok(()) } else { Err(RemoteError::NoReference(found.commit.clone())) }
}

fn submodules(folder: &Path) -> Result<(), RemoteError> {
    if !folder.join(".gitmodules").is_file() {
        return Ok(());
    }
    let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
    if git(folder, &[&update[..], &["--depth=1"]].concat()).is_ok() {
        return Ok(());
    }
    git(folder, &update).map(drop)
}
