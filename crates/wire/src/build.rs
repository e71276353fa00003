//! Builds: what the CLI asks for, what it answers, and what it hears.
//!
//! The agent has no eyes on the user's files: steps that read a build context ask for folders and files, and the CLI,
//! which runs as the user, answers with what it may see.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use crate::v1::{Ask, Attribute, FileEntry, FileKind, Folder, Listing, Parcel, Piece, Refusal};
use crate::{ApiError, Items, RegistryAccess};

/// An image to build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildRequest {
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// What the text is called in messages.
    pub dockerfile_name: String,
    /// The text is in the context that the agent fetches, by that name; `dockerfile` is empty.
    pub dockerfile_fetched: bool,
    /// Folders that the client answers for, with the text of their `.dockerignore`; `""` is the build context.
    pub folders: BTreeMap<String, String>,
    /// Contexts that the agent fetches by HTTP: archives, or lone files; `""` is the build context.
    pub fetched: BTreeMap<String, String>,
    /// Images that go by another name (`additional_contexts`).
    pub images: BTreeMap<String, String>,
    /// A stage; the last one when none.
    pub target: Option<String>,
    /// `--build-arg`, `SOURCE_DATE_EPOCH` among them.
    pub arguments: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// `os/architecture[/variant]`.
    pub platform: Option<String>,
    /// `none`, `host` or the default, for steps that don't say.
    pub network: Option<String>,
    /// Names of the image.
    pub names: Vec<String>,
    /// Take nothing from earlier builds.
    pub no_cache: bool,
    /// The same for stages of these names.
    pub fresh: BTreeSet<String>,
    /// What all commands get.
    pub settings: hoist_model::RunSettings,
    /// Say what is wrong or odd, and build nothing.
    pub check: bool,
    /// Do nothing when an image of the first name is here.
    pub only_if_missing: bool,
    /// Pull base images though they are here.
    pub pull: bool,
    /// How to reach the registries of base images.
    pub access: RegistryAccess,
    /// Secrets, by id.
    pub secrets: BTreeMap<String, Sealed>,
    /// Sockets of ssh agents on this host, by id.
    pub ssh: BTreeMap<String, PathBuf>,
    /// Caches of builds elsewhere, asked in this order.
    pub cache_from: Vec<CachePlace>,
    /// Caches that are written for builds elsewhere.
    pub cache_to: Vec<CacheExport>,
}

/// Where a cache is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CachePlace {
    /// In a folder that the client answers for under this name.
    Folder {
        /// The name in questions.
        name: String,
        /// As the user has it, for messages.
        path: String,
        /// Which of the folder's caches.
        tag: String,
        /// The same, by the manifest's digest.
        digest: Option<String>,
    },
    /// At a registry, under this name.
    Registry(String),
    /// In the image itself.
    Inline,
}

/// A cache that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheExport {
    /// Where to.
    pub place: CachePlace,
    /// Layers of all steps, not only of those that the image has.
    pub all: bool,
    /// `gzip`, `zstd` or `uncompressed`.
    pub compression: String,
    /// Fail when it can't be written.
    pub required: bool,
}

/// Bytes that are shown to nobody.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed(pub Vec<u8>);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(sealed)")
    }
}

/// Something that happened in a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildEvent {
    /// The steps there are, by number: their titles.
    Plan(Vec<String>),
    /// Likely not meant so.
    Warning(String),
    /// A base image is being looked for.
    Resolving(String),
    /// A cache for builds elsewhere is being written.
    Exporting(String),
    /// A step began.
    Started(usize),
    /// An earlier build did it.
    Cached(usize),
    /// What its command wrote.
    Output(usize, String),
    /// A step is done.
    Done(usize),
    /// A step failed; the stream ends with the error.
    Failed(usize),
    /// The image is there; the last event.
    Built(BuiltImage),
    /// So many warnings are all that is odd; the last event of a check.
    Checked(usize),
}

/// An image that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltImage {
    /// The configuration's digest.
    pub id: hoist_model::Digest,
    /// Its names, as people write them.
    pub names: Vec<String>,
    /// Steps, and how many of them earlier builds had done.
    pub steps: usize,
    pub cached: usize,
    /// It was here, and nothing was built.
    pub here: bool,
}

/// What the client says in a build.
#[derive(Clone, Debug, PartialEq)]
pub enum BuildIn {
    /// Folders, as asked for.
    Listing(Listing),
    /// A piece of a file, as asked for.
    Piece(Piece),
    /// Why there is no answer.
    Refusal(Refusal),
}

/// What the agent says in a build.
#[derive(Clone, Debug, PartialEq)]
pub enum FromBuild {
    /// Something happened.
    Event(BuildEvent),
    /// What is in these folders?
    List(Ask),
    /// What do these files hold?
    Read(Ask),
    /// A piece of a file for a folder.
    Put(Parcel),
}

/// The client's answers, as they come; their end is the end of the build.
pub type BuildAnswers = Items<BuildIn>;
/// What the agent says.
pub type BuildStream = Items<FromBuild>;

/// Builds images.
#[async_trait]
pub trait BuildApi: Send + Sync {
    /// Builds an image. Whoever drops the stream cancels the build.
    async fn build(&self, request: BuildRequest, answers: BuildAnswers) -> Result<BuildStream, ApiError>;
}
