//! The user's own `git`, run so that nothing of what is fetched runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::RemoteError;

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

/// Begins an empty repository that knows where it comes from, as relative submodules need it.
pub(super) fn begin(folder: &Path, url: &str, hash: &str) -> Result<(), RemoteError> {
    let format = if hash.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
    git(folder, &["init", "--quiet", "--template=", format])?;
    git(folder, &["remote", "add", "--", "origin", url]).map(drop)
}

/// Fetches all branches and tags, and one more name.
pub(super) fn everything(folder: &Path, more: Option<&str>) -> Result<(), RemoteError> {
    let mut words = vec!["fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"];
    words.extend(more.filter(|name| name.starts_with("refs/")));
    git(folder, &words).map(drop)
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
