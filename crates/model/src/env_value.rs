//! A value of the environment, and whether it may be shown.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value of the environment. Sensitive ones are redacted in everything that Hoist prints but `config`.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvValue {
    /// The value.
    pub value: String,
    /// It came from a secret or looks like one.
    pub sensitive: bool,
}

impl fmt::Debug for EnvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sensitive { f.write_str("\"***\"") } else { write!(f, "{:?}", self.value) }
    }
}

impl From<&str> for EnvValue {
    fn from(value: &str) -> Self {
        Self { value: value.to_owned(), sensitive: false }
    }
}
