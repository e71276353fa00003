//! Names and identities. Every id is a type of its own, so that a slot can't be passed where an instance is meant.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A name or id that breaks the rule for its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {what}: {rule}")]
pub struct IdError {
    /// What the text was meant to name.
    pub what: &'static str,
    /// The text that was refused.
    pub value: String,
    /// The rule that it breaks, as a sentence part.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks the rule for this kind of name.
            ///
            /// # Errors
            /// The rule, when `name` breaks it.
            pub fn new(name: impl Into<String>) -> Result<Self, IdError> {
                let name = name.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&name) {
                    Ok(Self(name))
                } else {
                    Err(IdError { what: $what, value: name, rule: $rule })
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

fn project_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

fn resource_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 255
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

name!(
    /// A stack's name: what Compose calls the project name.
    StackName, "stack name",
    "it must start with a lowercase letter or digit and hold only those, '-' and '_'", project_name
);
name!(
    /// Which copy of a stack this is, where one file runs several times (`up --copy pr-12`).
    Copy, "copy", "it must start with a lowercase letter or digit and hold only those, '-' and '_'", project_name
);
name!(
    /// A service's name as its file declares it.
    ServiceName, "service name", "it may hold letters, digits, '.', '-' and '_' only", resource_name
);
name!(
    /// A network's key in the stack file.
    NetworkName, "network name", "it may hold letters, digits, '.', '-' and '_' only", resource_name
);
name!(
    /// A volume's key in the stack file.
    VolumeName, "volume name", "it may hold letters, digits, '.', '-' and '_' only", resource_name
);
name!(
    /// A network as the host knows it: `<stack>_<key>`, or the `name:` given; shared by every stack that names it.
    NetworkId, "network", "it may hold letters, digits, '.', '-' and '_' only", resource_name
);
name!(
    /// A volume as the host knows it: `<stack>_<key>`, or the `name:` given; shared by every stack that names it.
    VolumeId, "volume", "it may hold letters, digits, '.', '-' and '_' only", resource_name
);
name!(
    /// A machine that runs an agent.
    HostId, "host", "it may hold letters, digits, '.', '-' and '_' only", resource_name
);

/// A stack: its name, and the copy where one file runs more than once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StackId {
    /// The stack's name.
    pub name: StackName,
    /// The copy, if it is one.
    pub copy: Option<Copy>,
}

impl StackId {
    /// The stack `name`, not a copy.
    #[must_use]
    pub fn new(name: StackName) -> Self {
        Self { name, copy: None }
    }

    /// The stem of the names that the stack's networks and volumes get: `shop`, or `shop.pr-12` for a copy.
    #[must_use]
    pub fn stem(&self) -> String {
        match &self.copy {
            None => self.name.to_string(),
            Some(copy) => format!("{}.{copy}", self.name),
        }
    }
}

impl fmt::Display for StackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.copy {
            None => write!(f, "{}", self.name),
            Some(copy) => write!(f, "{}@{copy}", self.name),
        }
    }
}

impl FromStr for StackId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (name, copy) = match text.split_once('@') {
            None => (text, None),
            Some((name, copy)) => (name, Some(Copy::new(copy)?)),
        };
        Ok(Self { name: StackName::new(name)?, copy })
    }
}

impl TryFrom<String> for StackId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<StackId> for String {
    fn from(id: StackId) -> String {
        id.to_string()
    }
}

/// A place of a service that one instance fills: `web-1`. Two instances may fill one slot during a rollout.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// The stack.
    pub stack: StackId,
    /// The service.
    pub service: ServiceName,
    /// The place, from 1.
    pub index: u32,
}

impl Slot {
    /// The name that people and DNS use within the stack: `web-1`.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}-{}", self.service, self.index)
    }

    /// The name as Compose's tools print a container: `shop-web-1`.
    #[must_use]
    pub fn container_name(&self) -> String {
        format!("{}-{}-{}", self.stack.stem(), self.service, self.index)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}-{}", self.stack, self.service, self.index)
    }
}

/// Why an instance exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceKind {
    /// One of a service's replicas.
    Replica,
    /// Started by `run`, outside the replicas.
    OneOff,
    /// A `pre_start` step that must end before the replica starts.
    Init,
    /// A service that runs to completion.
    Job,
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $type:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type([u8; $bytes]);

        impl $type {
            /// The id made of these bytes; where they come from (randomness, a digest) is the caller's affair.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The first 12 hexadecimal digits, as people read it.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string()[..12].to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let refuse = || IdError { what: $what, value: text.to_owned(), rule: "it is hexadecimal of a fixed length" };
                if text.len() != $bytes * 2 || !text.is_ascii() {
                    return Err(refuse());
                }
                let mut bytes = [0; $bytes];
                for (i, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).map_err(|_| refuse())?;
                }
                Ok(Self(bytes))
            }
        }

        impl TryFrom<String> for $type {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> String {
                id.to_string()
            }
        }
    };
}

hex_id!(
    /// One container filling a slot. Never reused; a restart of the same container keeps it.
    InstanceUid, 16, "instance id"
);
hex_id!(
    /// Digest of all that decides whether an instance must be made anew: equal hash, no recreation.
    TemplateHash, 32, "template hash"
);

/// A content digest as OCI writes it: `sha256:<64 hexadecimal digits>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub String);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut text = "sha256:".to_owned();
        for byte in Sha256::digest(bytes) {
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One applied version of a stack, counted from 1 in each stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Version of one host's spec. Ordered by store incarnation, then leader term, then count, so that neither a deposed
/// leader nor a restored backup can overtake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Generation {
    /// Raised when a store takes over from a newer one, as after restoring a backup.
    pub incarnation: u64,
    /// Raised with every new leader.
    pub term: u64,
    /// Raised with every changed spec.
    pub n: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.incarnation, self.term, self.n)
    }
}
