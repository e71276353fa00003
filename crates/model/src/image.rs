//! Where a service's files come from, and what its image says about running it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Digest, Healthcheck};

/// What the stack file names as the base of a service's file system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageSource {
    /// `image:`, as written.
    Reference(String),
    /// `x-hoist.oci`: an OCI image layout, absolute path, with the name of one of its images when several.
    OciLayout {
        /// The layout's folder.
        dir: PathBuf,
        /// `org.opencontainers.image.ref.name` of the one meant.
        tag: Option<String>,
    },
    /// `x-hoist.rootfs`: a folder of this host as a read-only base, absolute path.
    Rootfs(PathBuf),
}

impl Default for ImageSource {
    /// No image: the name of none.
    fn default() -> Self {
        Self::Reference(String::new())
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageSource::Reference(text) => f.write_str(text),
            ImageSource::OciLayout { dir, tag: Some(tag) } => write!(f, "{}:{tag}", dir.display()),
            ImageSource::OciLayout { dir, .. } | ImageSource::Rootfs(dir) => write!(f, "{}", dir.display()),
        }
    }
}

/// `pull_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    /// Pull when the image isn't there.
    #[default]
    Missing,
    /// Pull at every `up`.
    Always,
    /// Never pull.
    Never,
    /// Build, don't pull.
    Build,
    /// Pull when the last pull is older, in seconds (`daily`, `weekly`, `every_<duration>`).
    Every(u64),
}

/// What an image's configuration says about running it (OCI image specification, `config`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub command: Vec<String>,
    /// `Env`, split at the first `=`.
    pub environment: BTreeMap<String, String>,
    /// `WorkingDir`.
    pub working_dir: Option<String>,
    /// `User`.
    pub user: Option<String>,
    /// `Volumes`: anonymous volumes that each instance gets.
    pub volumes: Vec<String>,
    /// `ExposedPorts`, as `80/tcp`.
    pub exposed_ports: Vec<String>,
    /// `StopSignal`.
    pub stop_signal: Option<String>,
    /// Docker's `Healthcheck` extension.
    pub healthcheck: Option<Healthcheck>,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
}

/// An image as one revision uses it: settled once, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ResolvedImage {
    /// What the file named.
    pub source: ImageSource,
    /// The configuration's digest (Docker's image id); none for a plain folder.
    pub digest: Option<Digest>,
    /// What the image says about running it.
    pub config: ImageConfig,
}
