//! `config.json` in `$DOCKER_CONFIG` or `~/.docker`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hoist_wire::{Secret, Sensitive};
use serde_json::{Map, Value, json};

use super::{key, registry_name};
use crate::bounded;
use crate::error::CommandError;

/// The file as it was read.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: Option<PathBuf>,
    json: Map<String, Value>,
}

impl ConfigFile {
    /// Reads the file; an absent one is empty.
    pub(super) fn read() -> Result<Self, CommandError> {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")));
        let Some(path) = folder.map(|folder| folder.join("config.json")) else {
            return Ok(Self { path: None, json: Map::new() });
        };
        let text = match bounded::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(CommandError::failed(format!("{}: {error}", path.display()))),
        };
        let json = parse(&text).map_err(|error| {
            CommandError::usage(format!("{} is not a JSON object: {error}", path.display()))
                .hint("docker reads it too; mend it, or move it away and log in again")
        })?;
        Ok(Self { path: Some(path), json })
    }

    /// Registries that have an entry with credentials in the file.
    pub(super) fn registries(&self) -> Vec<String> {
        let entries = self.json.get("auths").and_then(Value::as_object).into_iter().flatten();
        let whole = entries.filter(|(_, entry)| entry.as_object().is_some_and(|entry| !entry.is_empty()));
        whole.map(|(key, _)| registry_name(key)).collect()
    }

    /// The helper for a registry.
    pub(super) fn helper(&self, registry: &str) -> Option<&str> {
        let own = self.json.get("credHelpers").and_then(Value::as_object).into_iter().flatten();
        let own = own.filter(|(key, _)| registry_name(key) == registry).find_map(|(_, name)| name.as_str());
        let name = own.or_else(|| self.json.get("credsStore")?.as_str());
        name.filter(|name| !name.is_empty())
    }

    /// The credentials of a registry in the file itself.
    pub(super) fn secret(&self, registry: &str) -> Result<Option<Secret>, CommandError> {
        let entries = self.json.get("auths").and_then(Value::as_object).into_iter().flatten();
        let entry =
            entries.filter(|(key, _)| registry_name(key) == registry).find_map(|(_, entry)| secret(entry));
        entry.transpose().map_err(|()| {
            let message =
                format!("the entry for {registry} in docker's config.json is not base64 of user:password");
            CommandError::failed(message).hint(format!("write it anew: `hoist login {registry}`"))
        })
    }

    pub(super) fn set(&mut self, registry: &str, user: &str, password: &str) {
        self.remove(registry);
        let auth = BASE64.encode(format!("{user}:{password}"));
        let auths = self.json.entry("auths").or_insert_with(|| json!({}));
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(key(registry).to_owned(), json!({ "auth": auth }));
        }
    }

    /// False when there was nothing to remove.
    pub(super) fn remove(&mut self, registry: &str) -> bool {
        let Some(auths) = self.json.get_mut("auths").and_then(Value::as_object_mut) else { return false };
        let before = auths.len();
        auths.retain(|key, _| registry_name(key) != registry);
        auths.len() != before
    }

    /// Replaces the file, for the user alone to read; a link to it stays one.
    pub(super) fn write(&self) -> Result<(), CommandError> {
        let Some(path) = &self.path else {
            return Err(CommandError::failed("there is no home folder to keep credentials in")
                .hint("set HOME, or DOCKER_CONFIG to a folder"));
        };
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let beside = path.with_extension("json.new");
        let write = || -> io::Result<()> {
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            let _ = fs::remove_file(&beside);
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
            file.write_all(&serde_json::to_vec_pretty(&self.json)?)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(|error| CommandError::failed(format!("{}: {error}", path.display())))
    }
}

fn parse(text: &str) -> Result<Map<String, Value>, serde_json::Error> {
    if text.trim().is_empty() { Ok(Map::new()) } else { serde_json::from_str(text) }
}

/// An entry of `auths`; none when a helper has it, an error when it can't be read.
fn secret(entry: &Value) -> Option<Result<Secret, ()>> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Some(Ok(Secret::Identity(Sensitive(token.to_owned()))));
    }
    if let Some(user) = text("username") {
        return Some(Ok(password(user, text("password").unwrap_or_default())));
    }
    let decoded = BASE64.decode(text("auth")?.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let split = decoded.as_deref().and_then(|decoded| decoded.split_once(':'));
    Some(split.map(|(user, secret)| password(user, secret.trim_end_matches('\0'))).ok_or(()))
}

fn password(user: &str, password: &str) -> Secret {
    Secret::Password { user: user.to_owned(), password: Sensitive(password.to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &str) -> ConfigFile {
        ConfigFile { path: None, json: parse(text).unwrap() }
    }

    #[test]
    fn all_forms_of_an_entry_are_read() {
        let file = file(
            r#"{"auths": {
                 "https://index.docker.io/v1/": {"auth": "bWU6c2VjOnJldA=="},
                 "localhost:5000": {"username": "u", "password": "p"},
                 "id.example": {"auth": "bWU6", "identitytoken": "token"},
                 "bad.example": {"auth": "bm8gY29sb24="},
                 "kept.by.helper": {}},
               "credHelpers": {"ecr.example": "ecr-login"}, "credsStore": "desktop", "HttpHeaders": {}}"#,
        );
        assert_eq!(file.secret("docker.io").unwrap(), Some(password("me", "sec:ret")));
        assert_eq!(file.secret("localhost:5000").unwrap(), Some(password("u", "p")));
        assert_eq!(file.secret("id.example").unwrap(), Some(Secret::Identity(Sensitive("token".into()))));
        assert_eq!(file.secret("kept.by.helper").unwrap(), None);
        assert!(file.secret("bad.example").is_err());
        assert_eq!((file.helper("ecr.example"), file.helper("x")), (Some("ecr-login"), Some("desktop")));
        assert_eq!(file.registries().len(), 4);
    }

    #[test]
    fn a_login_is_kept_beside_what_was_there_and_forgotten_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker/config.json");
        let mut kept = ConfigFile { path: Some(path.clone()), ..file(r#"{"detachKeys": "x"}"#) };
        kept.set("docker.io", "me", "secret");
        kept.write().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("https://index.docker.io/v1/") && text.contains("detachKeys"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut again = file(&text);
        assert_eq!(again.secret("docker.io").unwrap(), Some(password("me", "secret")));
        assert!(again.remove("docker.io") && !again.remove("docker.io"));
    }
}
