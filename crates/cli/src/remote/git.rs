//! Checkouts of commits, made by the user's own `git`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hoist_stackfile::Repository;

use super::cache::Cache;
use super::commit::{self, Found};
use super::{RemoteError, tree};

/// Protocols that git may speak, for submodules too: `ext` runs commands, `file` reads what this machine has.
const PROTOCOLS: &str = "http:https:git:ssh";

/// Variables by which a calling git says which repository it works on: a hook of the user's is no reason to write there.
const OF_A_CALLER: [&str; 9] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
];

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

/// Begins an empty repository that knows where it comes from, as relative submodules need it.
pub(super) fn begin(folder: &Path, url: &str, hash: &str) -> Result<(), RemoteError> {
    let format = if hash.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
    git(folder, &["init", "--quiet", "--template=", format])?;
    git(folder, &["remote", "add", "--", "origin", url]).map(drop)
}

/// Brings a commit here with as little as the server can do: by its hash, by its name, or all there is.
fn fetch(folder: &Path, url: &str, found: &Found) -> Result<(), RemoteError> {
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

/// Fetches all branches and tags, and one more name.
pub(super) fn everything(folder: &Path, more: Option<&str>) -> Result<(), RemoteError> {
    let mut words = vec!["fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"];
    words.extend(more.filter(|name| name.starts_with("refs/")));
    git(folder, &words).map(drop)
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

/// Runs git in a folder; gives what it wrote.
///
/// # Errors
/// When it isn't there, or fails: with what it said.
pub(super) fn git(folder: &Path, words: &[&str]) -> Result<String, RemoteError> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder);
    // Nothing of the user's runs because of what is fetched.
    command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"]);
    command.args(words).stdin(Stdio::null());
    for name in OF_A_CALLER {
        command.env_remove(name);
    }
    command.env("GIT_ALLOW_PROTOCOL", PROTOCOLS).env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    if ["GIT_SSH", "GIT_SSH_COMMAND"].iter().all(|name| std::env::var_os(name).is_none()) {
        command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ControlMaster=no");
    }
    let out = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => RemoteError::NoGit,
        _ => RemoteError::Io { at: PathBuf::from("git"), source: error },
    })?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(RemoteError::Git(lines.join("; ")))
}
