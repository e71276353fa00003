//! Names the agent gives.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The agent's name for an instance, by rule its uid. It is also a folder's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

/// Why a text can't be a [`Key`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} can't name an instance: 1 to 128 letters, digits, `_`, `-` and `.`, not starting with `.`")]
pub struct InvalidKey(String);

impl Key {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// When the text is unfit to be a folder's name on every file system.
    pub fn new(text: impl Into<String>) -> Result<Key, InvalidKey> {
        let text = text.into();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let valid = (1..=128).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('.');
        if valid { Ok(Key(text)) } else { Err(InvalidKey(text)) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Key {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Key, InvalidKey> {
        Key::new(text)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.0
    }
}
