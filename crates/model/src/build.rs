//! What a build gives the commands of its RUN instructions beyond what the Dockerfile says.

use serde::{Deserialize, Serialize};

use crate::Ulimit;

/// The address in [`RunSettings::extra_hosts`] that stands for the host's own.
pub const HOST_GATEWAY: &str = "host-gateway";

/// Settings of a `build:` and of the command line that hold for each RUN. Default: nothing but the usual.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSettings {
    /// `extra_hosts`: names and addresses for `/etc/hosts`, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<(String, String)>,
    /// `shm_size`: bytes of `/dev/shm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u64>,
    /// `ulimits`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// `--memory`: bytes that a command may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// `RUN --security=insecure` is granted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
}

impl RunSettings {
    /// What a command's result depends on: not where names lead, nor how much memory there is, nor what it may ask for.
    #[must_use]
    pub fn compared(&self) -> Self {
        let name = |(name, _): &(String, String)| (name.clone(), String::new());
        Self {
            extra_hosts: self.extra_hosts.iter().map(name).collect(),
            memory: None,
            insecure: false,
            ..self.clone()
        }
    }

    /// Whether there is nothing but the usual.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_names_lead_and_memory_are_not_compared() {
        let settings = |address: &str, memory| RunSettings {
            extra_hosts: vec![("db".to_owned(), address.to_owned())],
            memory,
            ..RunSettings::default()
        };
        assert_eq!(settings("192.0.2.1", None).compared(), settings("192.0.2.2", Some(1)).compared());
        assert_ne!(settings("192.0.2.1", None).compared(), RunSettings::default());
        assert_eq!(serde_json::to_string(&RunSettings::default()).unwrap(), "{}");
    }
}
