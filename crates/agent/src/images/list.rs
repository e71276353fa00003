//! Lists images, shows one, names them and takes names away.

use hoist_image::store::{RemoveError, Removed};
use hoist_image::{Digest, Image, Reference};
use hoist_wire::{
    ApiError, ErrorKind, ImageDetails, ImageQuery, ImageSummary, RemoveImage, RemovedImages, TagImage,
};

use super::{Images, ids, reference};

impl Images {
    pub(crate) fn list(&self, query: &ImageQuery) -> Result<Vec<ImageSummary>, ApiError> {
        let in_use = ids(&query.in_use);
        let images = match &query.name {
            Some(name) => vec![self.find(name)?],
            None => self.store.list().map_err(|error| ApiError::internal(&error))?,
        };
        Ok(images.iter().map(|image| summary(image, &in_use)).collect())
    }

    pub(crate) fn inspect(&self, query: &ImageQuery) -> Result<ImageDetails, ApiError> {
        let image = self.find(query.name.as_deref().unwrap_or_default())?;
        let document = |digest: Digest| {
            let bytes = self.store.document(digest).map_err(|error| ApiError::internal(&error))?;
            serde_json::from_slice(&bytes).map_err(|error| ApiError::internal(&error))
        };
        let mut layers = Vec::new();
        for diff_id in image.config.rootfs().diff_ids() {
            let id = diff_id.parse::<Digest>().map_err(|error| ApiError::internal(&error))?;
            let size = self.store.layer_size(id).map_err(|error| ApiError::internal(&error))?;
            layers.push((hoist_model::Digest(diff_id.clone()), size.unwrap_or(0)));
        }
        Ok(ImageDetails {
            summary: summary(&image, &ids(&query.in_use)),
            config: document(image.id)?,
            manifest: document(image.manifest)?,
            layers,
        })
    }

    pub(crate) fn tag(&self, request: &TagImage) -> Result<(), ApiError> {
        let target = reference(&request.target)?;
        if target.digest().is_some() {
            let message = format!("{} pins a digest, which only a registry gives", request.target);
            return Err(ApiError::new(ErrorKind::Invalid, message));
        }
        let image = self.find(&request.source)?;
        let tagged =
            self.store.tag_manifest(image.manifest, &target).map_err(|error| ApiError::internal(&error))?;
        if tagged { Ok(()) } else { Err(unknown(&request.source)) }
    }

    /// Takes a name away, or with an id the image.
    pub(crate) fn remove(&self, request: &RemoveImage) -> Result<RemovedImages, ApiError> {
        let in_use = ids(&request.in_use);
        let removed = match self.as_name(&request.name)? {
            Some(name) => self.store.remove(&name, &in_use),
            None => self.store.remove_id(self.find(&request.name)?.id, request.force, &in_use),
        };
        let removed = removed.map_err(|error| unremovable(&request.name, &error))?;
        let bytes = self.sweep()?;
        Ok(told(&removed, bytes))
    }

    /// What a person typed, if it is a name that an image here has, and no id. A digest counts before a tag.
    fn as_name(&self, text: &str) -> Result<Option<Reference>, ApiError> {
        let Ok(typed) = text.parse::<Reference>() else { return Ok(None) };
        let name = typed.digest().map_or_else(|| typed.clone(), |digest| typed.with_digest(digest));
        let given = self.store.is_name(&name).map_err(|error| ApiError::internal(&error))?;
        match (given, typed.digest()) {
            (true, _) => Ok(Some(name)),
            // An image of that digest is here by other names; those are not what was typed.
            (false, Some(_)) => Err(unknown(text)),
            (false, None) => Ok(None),
        }
    }

    /// Takes out blobs and layers that no image has; images themselves stay, named or not.
    pub(crate) fn sweep(&self) -> Result<u64, ApiError> {
        let all = self.store.list().map_err(|error| ApiError::internal(&error))?;
        let kept: Vec<Digest> = all.iter().map(|image| image.id).collect();
        let collected = self.store.gc(&kept).map_err(|error| ApiError::internal(&error))?;
        self.times.retain(|id| kept.iter().any(|kept| kept.to_string() == id));
        Ok(collected.bytes)
    }
}

fn told(removed: &Removed, bytes: u64) -> RemovedImages {
    RemovedImages {
        untagged: removed.untagged.iter().map(Reference::familiar).collect(),
        deleted: removed.deleted.iter().map(|id| hoist_model::Digest(id.to_string())).collect(),
        bytes,
        ..RemovedImages::default()
    }
}

pub(super) fn summary(image: &Image, in_use: &[Digest]) -> ImageSummary {
    let names = |pinned: bool| {
        let names = image.references.iter().filter(move |name| name.digest().is_some() == pinned);
        names.map(Reference::familiar).collect()
    };
    let variant = image.config.variant().as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
    ImageSummary {
        id: hoist_model::Digest(image.id.to_string()),
        manifest: hoist_model::Digest(image.manifest.to_string()),
        tags: names(false),
        digests: names(true),
        created: image.config.created().clone(),
        platform: format!("{}/{}{variant}", image.config.os(), image.config.architecture()),
        size: image.size,
        in_use: in_use.contains(&image.id),
    }
}

fn unknown(name: &str) -> ApiError {
    ApiError::new(ErrorKind::NotFound, format!("there is no image {name} on this host"))
}

fn unremovable(name: &str, error: &RemoveError) -> ApiError {
    let conflict = ApiError::new(ErrorKind::Conflict, crate::chain::chain(error));
    match error {
        RemoveError::Unknown(_) => unknown(name),
        RemoveError::InUse { .. } => conflict.hint("a stack needs it: `hoist down` that one first"),
        RemoveError::SeveralNames { .. } => {
            conflict.hint("`-f` takes all its names away; or remove them by name")
        }
        RemoveError::Store(error) => ApiError::internal(error),
    }
}
