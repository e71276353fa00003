//! Credentials, and the text of Docker's `config.json` that people keep them in.
//!
//! The command line reads the file and runs the helpers it names, as the user; this only knows the
//! format.

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

/// What a registry is shown. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Password {
        user: String,
        password: String,
    },
    /// A token to get tokens with (`docker login` with an identity provider).
    Identity(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// `~/.docker/config.json`, as far as credentials go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerConfigFile {
    /// Credentials in the file itself, by registry.
    pub credentials: HashMap<String, Credentials>,
    /// Helper programs by registry: `docker-credential-<name> get`, with the registry on stdin.
    pub helpers: HashMap<String, String>,
    /// The helper for all other registries.
    pub default_helper: Option<String>,
}

/// Why a configuration file or a helper's answer is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("it is not valid JSON")]
    Json(#[from] serde_json::Error),
    #[error("the entry for {0} is not base64 of user:password")]
    Entry(String),
}

impl DockerConfigFile {
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Raw {
            #[serde(default)]
            auths: HashMap<String, Entry>,
            #[serde(default)]
            cred_helpers: HashMap<String, String>,
            creds_store: Option<String>,
        }
        let raw: Raw = serde_json::from_str(text)?;
        let mut file =
            Self { default_helper: raw.creds_store.filter(|name| !name.is_empty()), ..Self::default() };
        file.helpers = raw.cred_helpers.into_iter().map(|(key, name)| (credential_key(&key), name)).collect();
        for (key, entry) in raw.auths {
            if let Some(credentials) = entry.credentials(&key)? {
                file.credentials.insert(credential_key(&key), credentials);
            }
        }
        Ok(file)
    }
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
}

impl Entry {
    fn credentials(self, key: &str) -> Result<Option<Credentials>, CredentialsError> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credentials::Identity(self.identitytoken)));
        }
        if !self.username.is_empty() {
            return Ok(Some(Credentials::Password { user: self.username, password: self.password }));
        }
        if self.auth.is_empty() {
            return Ok(None);
        }
        let bad = || CredentialsError::Entry(key.to_owned());
        let decoded = BASE64.decode(self.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or_else(bad)?;
        let (user, password) = decoded.split_once(':').ok_or_else(bad)?;
        let password = password.trim_end_matches('\0').to_owned();
        Ok(Some(Credentials::Password { user: user.to_owned(), password }))
    }
}

impl Credentials {
    /// Reads what a helper's `get` prints; the user `<token>` marks an identity token.
    pub fn from_helper(answer: &str) -> Result<Self, CredentialsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            username: String,
            secret: String,
        }
        let Answer { username, secret } = serde_json::from_str(answer)?;
        Ok(match &username[..] {
            "<token>" => Self::Identity(secret),
            _ => Self::Password { user: username, password: secret },
        })
    }

    pub(super) fn basic(&self) -> Option<String> {
        match self {
            Self::Password { user, password } => {
                Some(format!("Basic {}", BASE64.encode(format!("{user}:{password}"))))
            }
            Self::Identity(_) => None,
        }
    }
}

/// The registry that a key of the file means: keys may be URLs, and Docker Hub's has a history.
pub fn credential_key(key: &str) -> String {
    let host = key.split_once("://").map_or(key, |(_, rest)| rest);
    match host.split('/').next().unwrap_or(host) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_in_all_its_forms() {
        let file = DockerConfigFile::parse(
            r#"{"auths": {
                 "https://index.docker.io/v1/": {"auth": "bWU6c2VjOnJldA=="},
                 "localhost:5000": {"username": "u", "password": "p"},
                 "id.example": {"auth": "bWU6", "identitytoken": "token"},
                 "kept.by.helper": {}},
               "credHelpers": {"ecr.example": "ecr-login"}, "credsStore": "desktop", "HttpHeaders": {}}"#,
        );
        let file = file.unwrap();
        let password = |user: &str, password: &str| Credentials::Password {
            user: user.into(),
            password: password.into(),
        };
        assert_eq!(file.credentials["docker.io"], password("me", "sec:ret"));
        assert_eq!(file.credentials["localhost:5000"], password("u", "p"));
        assert_eq!(file.credentials["id.example"], Credentials::Identity("token".into()));
        assert_eq!(file.credentials.len(), 3);
        assert_eq!(file.helpers["ecr.example"], "ecr-login");
        assert_eq!(file.default_helper.as_deref(), Some("desktop"));
        assert_eq!(format!("{:?}", password("me", "secret")), "Credentials(…)");
    }

    #[test]
    fn an_entry_that_is_no_password_is_named() {
        let error =
            DockerConfigFile::parse(r#"{"auths": {"a.example": {"auth": "bm8gY29sb24="}}}"#).unwrap_err();
        assert_eq!(error.to_string(), "the entry for a.example is not base64 of user:password");
    }
}
