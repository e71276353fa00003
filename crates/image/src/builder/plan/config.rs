//! The image's configuration document, as far as a Dockerfile may change it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::platform::Platform;

/// What BuildKit puts where a base has no PATH.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// OCI's image configuration with Docker's additions, without layers and history. What a base has beyond these
/// (the build host's name, the builder's version) is of its own making and doesn't go on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) author: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) architecture: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) os: String,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) variant: String,
    #[serde(rename = "os.version", skip_serializing_if = "empty", deserialize_with = "nullable")]
    os_version: String,
    #[serde(rename = "os.features", skip_serializing_if = "empty", deserialize_with = "nullable")]
    os_features: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(super) config: Settings,
}

/// The part that says how the image runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Settings {
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) user: String,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) exposed_ports: BTreeMap<String, Map<String, Value>>,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) env: Vec<String>,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) cmd: Vec<String>,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) volumes: BTreeMap<String, Map<String, Value>>,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) working_dir: String,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) stop_signal: String,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) args_escaped: bool,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) healthcheck: Map<String, Value>,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) on_build: Vec<String>,
    #[serde(skip_serializing_if = "empty", deserialize_with = "nullable")]
    pub(super) shell: Vec<String>,
}

/// `null` is as good as absent.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn empty<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Config {
    /// Of `FROM scratch` and of folders.
    pub(super) fn empty(platform: &Platform) -> Self {
        let mut config = Self::default();
        config.config.working_dir = "/".to_owned();
        config.set_platform(platform);
        config
    }

    pub(super) fn set_platform(&mut self, platform: &Platform) {
        let variant = platform.variant.clone();
        let same = self.os == platform.os && self.architecture == platform.architecture;
        self.os.clone_from(&platform.os);
        self.architecture.clone_from(&platform.architecture);
        self.variant =
            variant.unwrap_or_else(|| if same { std::mem::take(&mut self.variant) } else { String::new() });
    }

    /// Programs are looked for in PATH: there is always one.
    pub(super) fn ensure_path(&mut self) {
        if self.variable("PATH").is_none() {
            self.config.env.push(DEFAULT_PATH.to_owned());
        }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.config.env.iter().map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// In the place that the variable has already, or at the end.
    pub(super) fn set_variable(&mut self, name: &str, value: &str) {
        let at = self.variables().position(|(known, _)| known == name);
        let pair = format!("{name}={value}");
        match at {
            Some(at) => self.config.env[at] = pair,
            None => self.config.env.push(pair),
        }
    }

    pub(super) fn working_dir(&self) -> &str {
        if self.config.working_dir.is_empty() { "/" } else { &self.config.working_dir }
    }

    /// The shell with this line.
    pub(super) fn in_shell(&self, line: String) -> Vec<String> {
        let shell = &self.config.shell;
        let mut words =
            if shell.is_empty() { vec!["/bin/sh".to_owned(), "-c".to_owned()] } else { shell.clone() };
        words.push(line);
        words
    }

    pub(super) fn into_document(self) -> Map<String, Value> {
        match serde_json::to_value(self).expect("strings, lists and maps by string are JSON") {
            Value::Object(document) => document,
            _ => Map::new(),
        }
    }
}
