//! Small artifacts that are no images: read whole into memory (OCI image specification, "Guidelines for Artifact
//! Usage").

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

use super::RegistryError;
use super::blob::{BlobAsk, BlobStream};
use super::client::{Endpoint, Registries};
use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::reference::Reference;

/// All of an artifact's layers together; far more than any text that people write.
const LARGEST: u64 = 16 << 20;

/// An artifact, as its registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// What the registry has under the name: of the index, where there is one.
    pub digest: Digest,
    pub layers: Vec<ArtifactLayer>,
}

/// One layer's content, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactLayer {
    pub media_type: String,
    pub annotations: BTreeMap<String, String>,
    pub content: Vec<u8>,
}

/// Why an artifact was not had.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("the manifest can't be read")]
    Manifest(#[from] serde_json::Error),
    #[error("it is {found}, not {wanted}")]
    Kind { found: String, wanted: String },
    #[error("it has {0} bytes, at most {LARGEST} are read")]
    TooLarge(u64),
    #[error("its layers can't be read")]
    Read(#[source] std::io::Error),
}

/// What is read of a manifest or an index.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ManifestFields {
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
    manifests: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    digest: Digest,
    artifact_type: Option<String>,
}

impl ManifestFields {
    /// The artifact's type; a manifest of OCI 1.0 has none, and its configuration's type says it.
    fn kind(&self) -> &str {
        let own = self.artifact_type.as_deref().filter(|kind| !kind.is_empty());
        own.or_else(|| Some(&*self.config.as_ref()?.media_type)).unwrap_or("of no type")
    }
}

impl Registries {
    /// Reads an artifact of one of these types whole.
    pub fn artifact(&self, reference: &Reference, kinds: &[&str]) -> Result<Artifact, ArtifactError> {
        self.first_of(reference, |endpoint| self.artifact_of(endpoint, reference, kinds))
    }

    fn artifact_of(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        kinds: &[&str],
    ) -> Result<Artifact, ArtifactError> {
        let fetched = self.manifest(endpoint, reference)?;
        let mut found: ManifestFields = serde_json::from_slice(&fetched.bytes)?;
        let listed =
            |entry: &&Entry| entry.artifact_type.as_deref().is_some_and(|kind| kinds.contains(&kind));
        if let Some(entry) = found.manifests.iter().find(listed) {
            let inner = self.manifest(endpoint, &reference.with_digest(entry.digest))?;
            found = serde_json::from_slice(&inner.bytes)?;
        }
        if !kinds.contains(&found.kind()) {
            let (found, wanted) = (found.kind().to_owned(), kinds.first().copied().unwrap_or("").to_owned());
            return Err(ArtifactError::Kind { found, wanted });
        }
        let size = found.layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.size));
        if size > LARGEST {
            return Err(ArtifactError::TooLarge(size));
        }
        let layers = found.layers.into_iter().map(|layer| self.layer(endpoint, reference, layer));
        Ok(Artifact { digest: fetched.digest, layers: layers.collect::<Result<_, _>>()? })
    }

    fn layer(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        layer: Descriptor,
    ) -> Result<ArtifactLayer, ArtifactError> {
        let Descriptor { digest, size, media_type, annotations, .. } = layer;
        let asked = BlobAsk { endpoint, repository: reference.repository(), digest, size };
        let mut content = Vec::new();
        let read = BlobStream::new(self, asked, &()).read_to_end(&mut content);
        read.map_err(|error| match error.downcast::<RegistryError>() {
            Ok(error) => ArtifactError::Registry(error),
            Err(error) => ArtifactError::Read(error),
        })?;
        let found = Digest::of(&content);
        if found != digest {
            let registry = endpoint.host.clone();
            return Err(RegistryError::Digest { registry, wanted: digest, found }.into());
        }
        Ok(ArtifactLayer { media_type, annotations, content })
    }
}
