//! What a build is asked for, and what it needs from outside.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::RunSettings;

use crate::builder::graph::Network;
use crate::digest::Digest;
use crate::platform::Platform;

/// What is wanted of a Dockerfile.
#[derive(Clone, Debug)]
pub struct Request {
    /// A stage, by name or number; the last one when none.
    pub target: Option<String>,
    /// `--build-arg`.
    pub arguments: BTreeMap<String, String>,
    /// Labels of the image, over those of the file.
    pub labels: BTreeMap<String, String>,
    /// What the image is for. When none, it is `build_platform` and the base decides what the image says.
    pub platform: Option<Platform>,
    /// Where the commands run.
    pub build_platform: Platform,
    /// `--build-context`, by name: they go before images and stages of the same name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// The network of commands that don't name theirs.
    pub network: Network,
    /// What all commands get.
    pub settings: RunSettings,
    /// Stages whose steps take nothing from earlier builds.
    pub fresh: BTreeSet<String>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            target: None,
            arguments: BTreeMap::new(),
            labels: BTreeMap::new(),
            platform: None,
            build_platform: Platform::host(),
            contexts: BTreeMap::new(),
            network: Network::Default,
            settings: RunSettings::default(),
            fresh: BTreeSet::new(),
        }
    }
}

/// What a name of `--build-context` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    /// A folder that the client hands over under this name.
    Folder,
    /// An image, by reference.
    Image(String),
}

/// An image that the target needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// As the file or the named context has it.
    pub reference: String,
    pub platform: Platform,
    /// The line that asks for it, from 1.
    pub line: usize,
    /// What may have been meant, for the case that there is no such image: `did you mean builder?`
    pub help: Option<String>,
}

/// An image that was found for a need.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its id in the store.
    pub id: Digest,
    /// Its configuration document.
    pub config: serde_json::Value,
}

/// The images that were found so far.
#[derive(Clone, Debug, Default)]
pub struct Bases(BTreeMap<(String, String), Base>);

impl Bases {
    /// Answers a need.
    pub fn insert(&mut self, need: &Need, base: Base) {
        self.0.insert((need.reference.clone(), need.platform.to_string()), base);
    }

    pub(super) fn get(&self, reference: &str, platform: &Platform) -> Option<&Base> {
        self.0.get(&(reference.to_owned(), platform.to_string()))
    }
}
