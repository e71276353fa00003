//! Which digest a registry has under an image's name.

use hoist_wire::{ApiError, PinImage, PinnedImage};

use super::{Images, explain, reference};

impl Images {
    /// The image's whole name, with the digest that its registry has under it now.
    pub(crate) async fn pin(&self, request: PinImage) -> Result<PinnedImage, ApiError> {
        let name = reference(&request.reference)?;
        self.blocking(move |images| {
            let registries = images.declared.way_to(name.registry(), &request.access)?;
            let digest = registries.resolve(&name);
            let digest = digest.map_err(|error| explain::registry(&name.familiar(), &error))?;
            Ok(PinnedImage { reference: name.pinned(digest).to_string() })
        })
        .await
    }
}
