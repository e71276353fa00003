//! Manifests and indexes: what is read of them. Their bytes are kept as they came, since a digest
//! names them; these types only say what is inside (OCI image specification, "Image Manifest",
//! "Image Index"; Docker's schema 2 has the same shape).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::layer::Compression;
use crate::platform::Platform;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Annotation of an index entry: the name of what it points at.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The same from containerd and Docker, always a whole reference.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// BuildKit's attestations are index entries too, but no images.
const ATTESTATION: &str = "vnd.docker.reference.type";

/// Points at a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let media_type = media_type.to_owned();
        Self { media_type, digest, size, platform: None, annotations: BTreeMap::new() }
    }

    /// Attestations are of no platform, which their entries say in either way.
    fn is_attestation(&self) -> bool {
        let unknown = self.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        unknown || self.annotations.contains_key(ATTESTATION)
    }
}

/// An image's manifest: configuration and layers, the bottom one first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

/// An index of manifests, one a platform, or of other indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

/// Either of the two: a tag can name both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    Manifest(Manifest),
    Index(Index),
}

/// Why bytes are no manifest that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("it is not valid JSON of a manifest or index")]
    Json(#[from] serde_json::Error),
    #[error("it has schema version {0}; images of Docker before 1.10 are not supported")]
    Schema(u32),
    #[error("it describes {0:?}, not a container image")]
    NotAnImage(String),
}

impl Document {
    /// Reads a manifest or index; which of them, its content says.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Probe {
            schema_version: u32,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let probe: Probe = serde_json::from_slice(bytes)?;
        if probe.schema_version != 2 {
            return Err(ManifestError::Schema(probe.schema_version));
        }
        if probe.manifests.is_some() {
            return Ok(Self::Index(serde_json::from_slice(bytes)?));
        }
        let manifest: Manifest = serde_json::from_slice(bytes)?;
        manifest.check_config_type()?;
        Ok(Self::Manifest(manifest))
    }
}

impl Manifest {
    /// A manifest of our own for a configuration and layers that came without one.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: OCI_MANIFEST.to_owned(), config, layers }
    }

    /// Artifacts (charts, signatures, stack files) have manifests too, with configurations of other types.
    fn check_config_type(&self) -> Result<(), ManifestError> {
        match &self.config.media_type[..] {
            ""
            | OCI_CONFIG
            | "application/vnd.docker.container.image.v1+json"
            | "application/octet-stream" => Ok(()),
            other => Err(ManifestError::NotAnImage(other.to_owned())),
        }
    }
}

impl Index {
    /// The entry that runs best where `wanted` is wanted. Entries without a platform count if there
    /// is nothing better.
    pub fn choose(&self, wanted: &Platform) -> Option<&Descriptor> {
        let images = self.manifests.iter().filter(|entry| !entry.is_attestation());
        let fitness = |entry: &&Descriptor| match &entry.platform {
            Some(platform) => platform.fitness(wanted).map(u16::from),
            None => Some(u16::MAX),
        };
        images
            .filter_map(|entry| Some((fitness(&entry)?, entry)))
            .min_by_key(|(fitness, _)| *fitness)
            .map(|(_, entry)| entry)
    }

    /// The platforms there are, for telling someone who wanted another.
    pub fn platforms(&self) -> Vec<String> {
        let images = self.manifests.iter().filter(|entry| !entry.is_attestation());
        images.filter_map(|entry| entry.platform.as_ref()).map(ToString::to_string).collect()
    }
}

/// The media type of a layer that is compressed so.
pub(crate) fn layer_media_type(compression: Compression) -> String {
    match compression {
        Compression::Gzip => format!("{OCI_LAYER}+gzip"),
        Compression::Zstd => format!("{OCI_LAYER}+zstd"),
        Compression::None | Compression::Bzip2 | Compression::Xz => OCI_LAYER.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(platform: Option<&str>, byte: u8) -> Descriptor {
        let platform = platform.map(|text| text.parse().unwrap());
        Descriptor { platform, ..Descriptor::new(OCI_MANIFEST, Digest::of(&[byte]), 1) }
    }

    #[test]
    fn an_index_gives_the_platform_that_fits_best() {
        let mut attestation = entry(None, 9);
        attestation.annotations.insert(ATTESTATION.to_owned(), "attestation-manifest".to_owned());
        let manifests = vec![
            attestation,
            entry(Some("linux/arm/v6"), 1),
            entry(Some("linux/arm/v7"), 2),
            entry(Some("linux/amd64"), 3),
        ];
        let index = Index { schema_version: 2, manifests, ..Index::default() };
        let chosen = |host: &str| index.choose(&host.parse().unwrap()).map(|entry| entry.digest);
        assert_eq!(chosen("linux/arm/v7"), Some(Digest::of(&[2])));
        assert_eq!(chosen("linux/arm/v6"), Some(Digest::of(&[1])));
        assert_eq!(chosen("linux/amd64"), Some(Digest::of(&[3])));
        assert_eq!(chosen("linux/s390x"), None);
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        let parse = |text: &str| Document::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            parse(r#"{"schemaVersion":1}"#),
            "it has schema version 1; images of Docker before 1.10 are not supported"
        );
        let digest = Digest::of(b"");
        let chart = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"{digest}","size":1}},"layers":[]}}"#
        );
        assert_eq!(
            parse(&chart),
            r#"it describes "application/vnd.cncf.helm.config.v1+json", not a container image"#
        );
        assert_eq!(parse("{"), "it is not valid JSON of a manifest or index");
    }
}
