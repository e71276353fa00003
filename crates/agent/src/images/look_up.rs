//! What settling an image would come to, without a pull: what is here, and what its registry has under its name.

use hoist_image::Reference;
use hoist_model::{Digest, ImageSource, ImageState, ResolvedImage};
use hoist_planner::images::{Settle, settle};
use hoist_wire::{ApiError, ImageSighting, LookUpImage, PinImage};

use super::config::resolved;
use super::resolve::{missing, rootfs};
use super::{Images, reference, times};

impl Images {
    /// Looks for an image.
    pub(crate) async fn look_up(&self, request: LookUpImage) -> Result<ImageSighting, ApiError> {
        match request.image.source.clone() {
            ImageSource::Rootfs(dir) => rootfs(&dir).map(known),
            ImageSource::OciLayout { dir, tag } => {
                self.blocking(move |images| images.import_layout(&dir, tag.as_deref())).await.map(known)
            }
            ImageSource::Reference(text) => self.look_up_reference(&text, request).await,
        }
    }

    async fn look_up_reference(&self, text: &str, request: LookUpImage) -> Result<ImageSighting, ApiError> {
        let name = reference(text)?;
        let here = self.present(text, &name).await?;
        let pulled = self.times.pulled(&name);
        let source = ImageSource::Reference(text.to_owned());
        let blank = ResolvedImage { source, ..ResolvedImage::default() };
        match (settle(request.image.policy, here.is_some(), pulled, times::now()), here) {
            (Settle::Use, Some(image)) => Ok(known(image)),
            (Settle::Missing, _) => Err(missing(text, request.image.policy)),
            (Settle::Build, _) => Ok(sighting(blank, ImageState::Build)),
            (Settle::Pull | Settle::Use, here) => {
                // How the image at hand is run is the best guess at how the next one is.
                let config = here.map(|here| here.config).unwrap_or_default();
                let image = ResolvedImage { config, ..blank };
                self.ask_registry(text, &name, image, request).await
            }
        }
    }

    async fn ask_registry(
        &self,
        text: &str,
        name: &Reference,
        image: ResolvedImage,
        request: LookUpImage,
    ) -> Result<ImageSighting, ApiError> {
        if request.offline {
            return Ok(sighting(image, ImageState::Pull));
        }
        let asked = self.pin(PinImage { reference: text.to_owned(), access: request.image.access }).await;
        let pinned = match asked {
            Ok(pinned) => reference(&pinned.reference)?,
            Err(error) => {
                let warning = Some(format!("{}; what it would be is not known", error.message));
                return Ok(ImageSighting { warning, ..sighting(image, ImageState::Unknown) });
            }
        };
        // The name may still mean what was pulled before.
        if let Some(same) = self.present(text, &pinned).await? {
            return Ok(known(same));
        }
        let remote = pinned.digest().map(|digest| Digest(digest.to_string()));
        let remote = remote.or_else(|| name.digest().map(|digest| Digest(digest.to_string())));
        Ok(ImageSighting { remote, ..sighting(image, ImageState::Pull) })
    }

    /// The image, if it is here complete. A look is no use of it.
    async fn present(&self, text: &str, name: &Reference) -> Result<Option<ResolvedImage>, ApiError> {
        let (name, source) = (name.clone(), ImageSource::Reference(text.to_owned()));
        self.blocking(move |images| {
            let found = images.store.resolve(&name).ok().flatten();
            Ok(found.map(|image| resolved(source, &image)))
        })
        .await
    }
}

fn known(image: ResolvedImage) -> ImageSighting {
    sighting(image, ImageState::Known)
}

fn sighting(image: ResolvedImage, state: ImageState) -> ImageSighting {
    ImageSighting { image, remote: None, state, warning: None }
}
