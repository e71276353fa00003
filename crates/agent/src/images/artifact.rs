//! Artifacts of registries that are no images: read for whoever asks, kept nowhere.

use hoist_model::Digest;
use hoist_wire::{ApiError, Artifact, ArtifactText, ErrorKind, FetchArtifact};

use super::{Images, explain, reference};

impl Images {
    /// Reads an artifact of texts.
    pub(crate) async fn fetch_artifact(&self, request: FetchArtifact) -> Result<Artifact, ApiError> {
        let name = reference(&request.reference)?;
        self.blocking(move |images| {
            let shown = name.familiar();
            let registries = images.declared.way_to(name.registry(), &request.access)?;
            let kinds: Vec<&str> = request.kinds.iter().map(String::as_str).collect();
            let artifact = registries.artifact(&name, &kinds);
            let artifact = artifact.map_err(|error| explain::artifact(&shown, &error))?;
            let texts = artifact.layers.into_iter().map(|layer| {
                let no_text = |_| {
                    let message =
                        format!("artifact {shown}: its layer of type {} is not text", layer.media_type);
                    ApiError::new(ErrorKind::Invalid, message)
                };
                let text = String::from_utf8(layer.content).map_err(no_text)?;
                Ok(ArtifactText { media_type: layer.media_type, annotations: layer.annotations, text })
            });
            Ok(Artifact {
                digest: Digest(artifact.digest.to_string()),
                texts: texts.collect::<Result<_, ApiError>>()?,
            })
        })
        .await
    }
}
