//! Programs that keep credentials: `docker-credential-<name> get|store|erase`, with JSON on their standard streams.

use std::io::Write;
use std::process::{Command, Stdio};

use hoist_wire::{Secret, Sensitive};
use serde::Deserialize;
use serde_json::json;

use crate::error::CommandError;

/// What a helper says when it has nothing (docker-credential-helpers, `credentials.ErrCredentialsNotFound`).
const NOTHING: &str = "credentials not found";

/// The credentials kept under `key`.
pub(super) fn get(name: &str, key: &str) -> Result<Option<Secret>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    let answer = match run(name, "get", key) {
        Ok(answer) => answer,
        Err(said) if said.contains(NOTHING) => return Ok(None),
        Err(said) => return Err(said),
    };
    let Answer { username, secret } = serde_json::from_str(&answer)
        .map_err(|_| format!("docker-credential-{name} answered something that is not JSON"))?;
    Ok(match username.as_str() {
        "" => None,
        "<token>" => Some(Secret::Identity(Sensitive(secret))),
        _ => Some(Secret::Password { user: username, password: Sensitive(secret) }),
    })
}

/// Keeps credentials under `key`.
pub(super) fn store(name: &str, key: &str, user: &str, secret: &str) -> Result<(), CommandError> {
    let input = json!({ "ServerURL": key, "Username": user, "Secret": secret }).to_string();
    run(name, "store", &input).map(drop).map_err(CommandError::failed)
}

/// Forgets what is kept under `key`; false when there is nothing.
pub(super) fn erase(name: &str, key: &str) -> Result<bool, CommandError> {
    match run(name, "erase", key) {
        Ok(_) => Ok(true),
        Err(said) if said.contains(NOTHING) => Ok(false),
        Err(said) => Err(CommandError::failed(said)),
    }
}

fn run(name: &str, verb: &str, input: &str) -> Result<String, String> {
    let program = format!("docker-credential-{name}");
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| format!("{program}, which docker's config.json names, can't be run: {error}"))?;
    // One that doesn't read says by its status what it lacks.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let out = child.wait_with_output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    if out.status.success() { Ok(said) } else { Err(format!("{program} {verb}: {said}")) }
}
