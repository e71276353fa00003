//! What a request brings along so that registries let it in: read by the CLI as the user, never stored, never printed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the user reaches registries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryAccess {
    /// For the registries that the request concerns.
    pub credentials: Vec<Credential>,
    /// The user's `HTTPS_PROXY`.
    pub proxy: Option<Sensitive>,
    /// The user's `NO_PROXY`.
    pub no_proxy: Option<String>,
}

/// What one registry is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The registry, as references spell it: `docker.io`, `localhost:5000`.
    pub registry: String,
    /// Who asks.
    pub secret: Secret,
}

/// Who asks a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Secret {
    /// By name and password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Sensitive,
    },
    /// By a token to get tokens with (`docker login` with an identity provider).
    Identity(Sensitive),
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sensitive(pub String);

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_travel_and_are_not_printed() {
        let secret = Secret::Password { user: "me".into(), password: Sensitive("hidden".into()) };
        let access = RegistryAccess {
            credentials: vec![Credential { registry: "a.example".into(), secret }],
            proxy: Some(Sensitive("http://u:hidden@p".into())),
            no_proxy: None,
        };
        assert!(!format!("{access:?}").contains("hidden"));
        let json = serde_json::to_string(&access).unwrap();
        assert_eq!(serde_json::from_str::<RegistryAccess>(&json).unwrap(), access);
    }
}
