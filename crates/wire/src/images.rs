//! Images: calls that the CLI makes of the orchestrator and the orchestrator of a host, and what they carry.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use hoist_model::{Digest, EventKind, ImageSource, PullPolicy, ResolvedImage, VolumeId};
use serde::{Deserialize, Serialize};

use crate::{ApiError, Items, RegistryAccess};

/// An item of a call that takes long: what happens, and last what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work<T> {
    /// Something happened.
    Event(EventKind),
    /// It is done; the last item.
    Done(T),
}

/// A call that takes long.
pub type WorkStream<T> = Items<Work<T>>;

/// The bytes of an archive, as they come.
pub type ArchiveBytes = Items<Bytes>;

/// An image to settle for a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveImage {
    /// What the file names.
    pub source: ImageSource,
    /// Whether to pull it.
    pub policy: PullPolicy,
    /// How to reach its registry.
    pub access: RegistryAccess,
}

/// An image to fetch from its registry, whether it is here or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullImage {
    /// Its name, as people write it.
    pub reference: String,
    /// `os/architecture[/variant]`, instead of the host's.
    pub platform: Option<String>,
    /// How to reach its registry.
    pub access: RegistryAccess,
}

/// An image that was pulled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulledImage {
    /// Its name, as people write it, with the tag.
    pub reference: String,
    /// The configuration's digest.
    pub id: Digest,
    /// What the registry has under the name: the digest to pin.
    pub digest: Digest,
    /// It was here already.
    pub up_to_date: bool,
}

/// An image to send to its registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushImage {
    /// Its name here, which is the name there.
    pub reference: String,
    /// How to reach its registry.
    pub access: RegistryAccess,
}

/// An image that was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedImage {
    /// Its name, as people write it, with the tag.
    pub reference: String,
    /// The manifest's digest, by which the registry has it.
    pub digest: Digest,
    /// Bytes of the manifest.
    pub size: u64,
}

/// A tar archive of a root file system that is to become an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportImage {
    /// The name it gets.
    pub reference: Option<String>,
    /// Dockerfile instructions that say how it is run: `CMD ["/x"]`, `ENV A=b`.
    pub changes: Vec<String>,
    /// What its history says.
    pub message: Option<String>,
}

/// An image that an archive brought in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedImage {
    /// Its names; none for an untagged one.
    pub references: Vec<String>,
    /// The configuration's digest.
    pub digest: Digest,
}

/// An image of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSummary {
    /// The configuration's digest.
    pub id: Digest,
    /// The manifest's digest.
    pub manifest: Digest,
    /// Names with a tag, as people write them.
    pub tags: Vec<String>,
    /// Names with a digest: where registries have it.
    pub digests: Vec<String>,
    /// When it was made, as its configuration says (RFC 3339).
    pub created: Option<String>,
    /// `os/architecture[/variant]`.
    pub platform: String,
    /// Bytes of files in its layers.
    pub size: u64,
    /// What runs, or may be gone back to, needs it.
    pub in_use: bool,
}

/// All that is known of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageDetails {
    /// As in a list.
    pub summary: ImageSummary,
    /// The whole configuration (OCI image configuration, with Docker's additions).
    pub config: serde_json::Value,
    /// The manifest.
    pub manifest: serde_json::Value,
    /// Layers, the bottom one first: digest of the uncompressed layer and bytes of its files.
    pub layers: Vec<(Digest, u64)>,
}

/// Images to name, list or look at, with those that what is wanted needs: the orchestrator adds these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageQuery {
    /// A name, or the beginning of an id; all when none.
    pub name: Option<String>,
    /// Images that running instances and kept revisions use.
    pub in_use: Vec<Digest>,
}

/// A further name for an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagImage {
    /// A name, or the beginning of an id.
    pub source: String,
    /// The name to give.
    pub target: String,
}

/// A name to take away; the image goes with its last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveImage {
    /// A name, or the beginning of an id.
    pub name: String,
    /// An image by id though it has several names.
    pub force: bool,
    /// See [`ImageQuery`].
    #[serde(default)]
    pub in_use: Vec<Digest>,
}

/// What removing took out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RemovedImages {
    /// Names that are gone.
    pub untagged: Vec<String>,
    /// Images that are gone.
    pub deleted: Vec<Digest>,
    /// How many results of builds, cache mounts among them, are gone.
    pub builds: u64,
    /// Volumes that are gone, with their data.
    pub volumes: Vec<VolumeId>,
    /// Bytes that came free.
    pub bytes: u64,
}

/// What `prune` takes out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PruneImages {
    /// Every image that nothing needs, not only those without a name.
    pub all: bool,
    /// Only what was last used before so many seconds.
    pub older_than: Option<u64>,
    /// What builds left and no image has, too; with `all`, everything they left, cache mounts too.
    pub builds: bool,
    /// With `all`, volumes that no stack names, too. Without, none: an anonymous one goes with its instance.
    pub volumes: bool,
    /// See [`ImageQuery`].
    pub in_use: Vec<Digest>,
}

/// What takes room on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUsage {
    /// Every image, with its bytes in layers that others have too, and in layers of its own.
    pub images: Vec<(ImageSummary, u64, u64)>,
    /// Bytes of the unpacked layers that images have, each once.
    pub layers: u64,
    /// Bytes of compressed layers, manifests and configurations.
    pub blobs: u64,
    /// Bytes that pruning all unused images would free, at least.
    pub reclaimable: u64,
    /// What instances wrote.
    pub instances: UsageRow,
    /// Named volumes.
    pub volumes: UsageRow,
    /// What builds left for later ones; active is what an image has too, whose bytes count there.
    #[serde(default)]
    pub builds: UsageRow,
    /// Bytes of each volume.
    #[serde(default)]
    pub each_volume: BTreeMap<VolumeId, u64>,
}

/// Things of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UsageRow {
    /// How many.
    pub count: u64,
    /// How many are used.
    pub active: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of those that aren't used.
    pub reclaimable: u64,
}

/// An image whose digest is wanted, not the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinImage {
    /// Its name, as people write it.
    pub reference: String,
    /// How to reach its registry.
    pub access: RegistryAccess,
}

/// What a registry has under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedImage {
    /// The whole name, with tag and digest: `docker.io/library/nginx:1@sha256:…`.
    pub reference: String,
}

/// An artifact that is no image and small enough to be read whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchArtifact {
    /// Its name, as an image's.
    pub reference: String,
    /// The types that will do.
    pub kinds: Vec<String>,
    /// How to reach its registry.
    pub access: RegistryAccess,
}

/// An artifact of texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// What the registry has under the name.
    pub digest: Digest,
    /// Its layers, in order.
    pub texts: Vec<ArtifactText>,
}

/// One layer of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactText {
    /// Its media type.
    pub media_type: String,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its content.
    pub text: String,
}

/// Credentials to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckLogin {
    /// The registry.
    pub registry: String,
    /// With its credentials.
    pub access: RegistryAccess,
}

/// Images of a host, and of what is wanted of it.
#[async_trait]
pub trait ImageApi: Send + Sync {
    /// Fetches an image from its registry.
    async fn pull_image(&self, request: PullImage) -> Result<WorkStream<PulledImage>, ApiError>;

    /// Sends an image to its registry.
    async fn push_image(&self, request: PushImage) -> Result<WorkStream<PushedImage>, ApiError>;

    /// Brings an image archive into the store.
    async fn load_image(&self, archive: ArchiveBytes) -> Result<Vec<LoadedImage>, ApiError>;

    /// Makes an image of a root file system's archive.
    async fn import_image(
        &self,
        request: ImportImage,
        archive: ArchiveBytes,
    ) -> Result<LoadedImage, ApiError>;

    /// Writes images, by their names, as one archive.
    async fn save_images(&self, names: Vec<String>) -> Result<ArchiveBytes, ApiError>;

    /// Lists images.
    async fn images(&self, query: ImageQuery) -> Result<Vec<ImageSummary>, ApiError>;

    /// All that is known of one image.
    async fn inspect_image(&self, query: ImageQuery) -> Result<ImageDetails, ApiError>;

    /// Gives an image another name.
    async fn tag_image(&self, request: TagImage) -> Result<(), ApiError>;

    /// Takes a name away, and the image with its last one.
    async fn remove_image(&self, request: RemoveImage) -> Result<RemovedImages, ApiError>;

    /// What takes how much room.
    async fn disk_usage(&self, query: ImageQuery) -> Result<DiskUsage, ApiError>;

    /// Takes out what nothing needs.
    async fn prune_images(&self, request: PruneImages) -> Result<RemovedImages, ApiError>;

    /// Reads all of the store; what it answers is not as it must be.
    async fn check_store(&self) -> Result<Vec<String>, ApiError>;

    /// Asks a registry which digest an image's name stands for; nothing is fetched.
    async fn pin_image(&self, request: PinImage) -> Result<PinnedImage, ApiError>;

    /// Reads an artifact of a registry.
    async fn fetch_artifact(&self, request: FetchArtifact) -> Result<Artifact, ApiError>;

    /// Shows a registry credentials; an error when it doesn't accept them.
    async fn check_login(&self, request: CheckLogin) -> Result<(), ApiError>;
}

/// A settled image, with what happens on the way.
pub type ResolveStream = WorkStream<ResolvedImage>;
