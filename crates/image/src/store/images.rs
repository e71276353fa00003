//! Images: what a name stands for, and what makes one complete.

use std::path::PathBuf;

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Deserializer};

use super::index::Named;
use super::session::Session;
use super::{BlobError, Store, StoreError};
use crate::digest::{Digest, DigestError};
use crate::manifest::{Descriptor, Document, Manifest, ManifestError, OCI_MANIFEST};
use crate::reference::Reference;

/// An image in the store, ready to run.
#[derive(Clone, Debug)]
pub struct Image {
    /// Digest of the configuration: what Docker calls the image id.
    pub id: Digest,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// All names of the image, tags and digests, under whichever manifest.
    pub references: Vec<Reference>,
    pub config: ImageConfiguration,
    /// What Docker's configurations have beyond OCI's.
    pub docker: DockerConfig,
    /// Directories to stack, the topmost first, as overlayfs's `lowerdir=` wants them.
    pub layers: Vec<PathBuf>,
    /// Bytes of files in all layers.
    pub size: u64,
}

/// Docker's additions to `config` (Docker Image Specification v1.2/v1.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DockerConfig {
    pub healthcheck: Option<HealthCheck>,
    #[serde(deserialize_with = "or_nothing")]
    pub shell: Vec<String>,
    #[serde(deserialize_with = "or_nothing")]
    pub on_build: Vec<String>,
}

/// A health check; times are in nanoseconds, 0 meaning the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    #[serde(deserialize_with = "or_nothing")]
    pub test: Vec<String>,
    pub interval: u64,
    pub timeout: u64,
    pub start_period: u64,
    pub start_interval: u64,
    pub retries: u32,
}

/// Go writes an empty list as `null`.
fn or_nothing<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(list)?.unwrap_or_default())
}

/// An image that is to be registered: its documents as they came, and its names.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewImage {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) names: Vec<Reference>,
}

/// Why documents don't make an image.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("the manifest can't be used")]
    Manifest(#[from] ManifestError),
    #[error("the manifest is an index, not one image's")]
    Index,
    #[error("the configuration can't be read")]
    Config(#[source] serde_json::Error),
    #[error("the configuration names a layer wrongly")]
    DiffId(#[source] DigestError),
    #[error("the manifest has {manifest} layers, the configuration {config}")]
    LayerCount { manifest: usize, config: usize },
    #[error("layer {0} is missing")]
    LayerMissing(Digest),
}

/// Why an image was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no image {0}")]
    Unknown(String),
    #[error("image {id} is in use")]
    InUse { id: Digest },
    #[error("image {id} has several names: {}", .names.join(", "))]
    SeveralNames { id: Digest, names: Vec<String> },
}

/// What removing did. What it freed, `Store::gc` takes out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub untagged: Vec<Reference>,
    /// The image, if nothing names it any more.
    pub deleted: Option<Digest>,
}

/// The documents of an image, read.
pub(crate) struct Documents {
    pub(crate) manifest: Manifest,
    pub(crate) config: ImageConfiguration,
    pub(crate) docker: DockerConfig,
    pub(crate) diff_ids: Vec<Digest>,
}

impl Documents {
    pub(crate) fn parse(manifest: &[u8], config: &[u8]) -> Result<Self, RegisterError> {
        let Document::Manifest(manifest) = Document::parse(manifest)? else {
            return Err(RegisterError::Index);
        };
        let found = Digest::of(config);
        if manifest.config.digest != found {
            return Err(BlobError::Digest { wanted: manifest.config.digest, found }.into());
        }
        let parsed: ImageConfiguration = serde_json::from_slice(config).map_err(RegisterError::Config)?;
        #[derive(Default, Deserialize)]
        struct Raw {
            #[serde(default)]
            config: Option<DockerConfig>,
        }
        let raw: Raw = serde_json::from_slice(config).map_err(RegisterError::Config)?;
        let diff_ids = parsed.rootfs().diff_ids().iter().map(|text| text.parse());
        let diff_ids = diff_ids.collect::<Result<Vec<_>, _>>().map_err(RegisterError::DiffId)?;
        match (manifest.layers.len(), diff_ids.len()) {
            (m, c) if m != c => Err(RegisterError::LayerCount { manifest: m, config: c }),
            _ => Ok(Self { manifest, config: parsed, docker: raw.config.unwrap_or_default(), diff_ids }),
        }
    }

    /// Each layer's diff id and blob, the bottom one first.
    pub(crate) fn layers(&self) -> Vec<(Digest, Digest)> {
        self.diff_ids.iter().copied().zip(self.manifest.layers.iter().map(|layer| layer.digest)).collect()
    }
}

impl Session<'_> {
    /// Makes an image of documents whose layers are in place, and gives it its names.
    pub(crate) fn register(&self, image: &NewImage) -> Result<Digest, RegisterError> {
        let documents = Documents::parse(&image.manifest, &image.config)?;
        for (diff_id, blob) in documents.layers() {
            if !self.has_layer(diff_id)? {
                return Err(RegisterError::LayerMissing(diff_id));
            }
            if !self.has_blob(blob)? {
                return Err(BlobError::Missing(blob).into());
            }
        }
        let (manifest, id) = (self.keep_bytes(&image.manifest)?, self.keep_bytes(&image.config)?);
        self.mend_implied(&documents.diff_ids)?;
        // Content may reach the disk after its name, but not after the word that it is in doubt until then.
        self.sync_notes()?;
        let media_type = match &documents.manifest.media_type[..] {
            "" => OCI_MANIFEST,
            given => given,
        };
        let descriptor = Descriptor::new(media_type, manifest, image.manifest.len() as u64);
        self.store.rename(|names| match &image.names[..] {
            [] => names.give(None, &descriptor, id),
            given => given.iter().for_each(|name| names.give(Some(name), &descriptor, id)),
        })?;
        Ok(id)
    }
}

impl Store {
    /// The image that `reference` stands for; `None` if there is none.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Image>, RegisterError> {
        self.names()?.find(reference).map(|named| self.image(named)).transpose()
    }

    /// The image with this id.
    pub fn image_by_id(&self, id: Digest) -> Result<Option<Image>, RegisterError> {
        self.names()?.0.iter().find(|named| named.id == id).map(|named| self.image(named)).transpose()
    }

    /// What a person means: a name, an id, or at least four digits that begin exactly one id.
    pub fn find(&self, text: &str) -> Result<Option<Image>, RegisterError> {
        let names = self.names()?;
        let by_name = text.parse::<Reference>().ok().and_then(|reference| names.find(&reference).cloned());
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let mut ids: Vec<&Named> =
            names.0.iter().filter(|named| named.id.hex().starts_with(digits)).collect();
        ids.dedup_by_key(|named| named.id);
        let by_id = || match ids[..] {
            [named] if digits.len() >= 4 => Some(named.clone()),
            _ => None,
        };
        by_name.or_else(by_id).map(|named| self.image(&named)).transpose()
    }

    /// All images, each once, though several manifests may have the same one.
    pub fn list(&self) -> Result<Vec<Image>, RegisterError> {
        let mut images: Vec<Named> = Vec::new();
        for named in self.names()?.0 {
            if !images.iter().any(|known| known.id == named.id) {
                images.push(named);
            }
        }
        images.iter().map(|named| self.image(named)).collect()
    }

    /// Whether exactly this name was given to an image.
    pub fn is_name(&self, name: &Reference) -> Result<bool, StoreError> {
        Ok(self.names()?.0.iter().any(|named| named.name.as_ref() == Some(name)))
    }

    /// The names by tag that a repository's images have.
    pub fn tags_of(&self, repository: &Reference) -> Result<Vec<Reference>, StoreError> {
        let names = self.names()?.0.into_iter().filter_map(|named| named.name);
        Ok(names.filter(|name| name.tag().is_some() && name.same_repository(repository)).collect())
    }

    /// The names by digest, which pulls and pushes leave, each with its manifest's documents.
    pub(crate) fn names_by_digest(&self) -> Result<Vec<(Reference, Documents)>, RegisterError> {
        let names = self.names()?.0.into_iter();
        let by_digest = names.filter_map(|named| named.name.map(|name| (name, named.manifest, named.id)));
        let by_digest = by_digest.filter(|(name, ..)| name.digest().is_some());
        by_digest.map(|(name, manifest, id)| Ok((name, self.documents(manifest.digest, id)?))).collect()
    }

    /// Gives the image that `reference` stands for another name; `false` if there is none.
    pub fn tag(&self, reference: &Reference, name: &Reference) -> Result<bool, StoreError> {
        self.rename(|names| match names.find(reference).cloned() {
            Some(named) => {
                names.give(Some(name), &named.manifest, named.id);
                true
            }
            None => false,
        })
    }

    /// Gives the image with this manifest another name; `false` if there is none.
    pub fn tag_manifest(&self, manifest: Digest, name: &Reference) -> Result<bool, StoreError> {
        self.rename(|names| match names.0.iter().find(|named| named.manifest.digest == manifest).cloned() {
            Some(named) => {
                names.give(Some(name), &named.manifest, named.id);
                true
            }
            None => false,
        })
    }

    /// Takes one name away, and with a repository's last tag its names by digest. The image goes with its last name;
    /// not while its id is in `in_use`.
    pub fn remove(&self, name: &Reference, in_use: &[Digest]) -> Result<Removed, RemoveError> {
        self.rename(|names| {
            let Some((id, untagged)) = names.going_with(name) else {
                return Err(RemoveError::Unknown(name.familiar()));
            };
            let last = names.of(id).all(|other| untagged.contains(other));
            if last && in_use.contains(&id) {
                return Err(RemoveError::InUse { id });
            }
            untagged.iter().for_each(|name| {
                names.take(name);
            });
            if last {
                names.0.retain(|other| other.id != id);
            }
            Ok(Removed { untagged, deleted: last.then_some(id) })
        })?
    }

    /// Removes an image with all its names. More than one tag, or names in several repositories, need `force`.
    pub fn remove_id(&self, id: Digest, force: bool, in_use: &[Digest]) -> Result<Removed, RemoveError> {
        self.rename(|names| {
            if !names.0.iter().any(|named| named.id == id) {
                return Err(RemoveError::Unknown(id.to_string()));
            }
            if in_use.contains(&id) {
                return Err(RemoveError::InUse { id });
            }
            let untagged: Vec<Reference> = names.of(id).cloned().collect();
            let tags = untagged.iter().filter(|name| name.tag().is_some()).count();
            let scattered = untagged.iter().any(|name| !name.same_repository(&untagged[0]));
            if !force && (tags > 1 || scattered) {
                let names = untagged.iter().map(Reference::familiar).collect();
                return Err(RemoveError::SeveralNames { id, names });
            }
            names.0.retain(|named| named.id != id);
            Ok(Removed { untagged, deleted: Some(id) })
        })?
    }

    pub(crate) fn documents(&self, manifest: Digest, id: Digest) -> Result<Documents, RegisterError> {
        Documents::parse(&self.document(manifest)?, &self.document(id)?)
    }

    fn image(&self, named: &Named) -> Result<Image, RegisterError> {
        let documents = self.documents(named.manifest.digest, named.id)?;
        let names = self.names()?;
        let references = names.of(named.id).cloned().collect();
        let stack = self.stack(&documents.diff_ids)?.into_iter().collect::<Result<Vec<_>, _>>();
        let stack = stack.map_err(RegisterError::LayerMissing)?;
        let mut size = 0;
        for &diff_id in &documents.diff_ids {
            size += self.layer_record(diff_id)?.map_or(0, |record| record.bytes);
        }
        Ok(Image {
            id: named.id,
            manifest: named.manifest.digest,
            references,
            config: documents.config,
            docker: documents.docker,
            layers: stack.into_iter().rev().map(|layer| self.tree(layer)).collect(),
            size,
        })
    }
}
