//! Takes out images and what builds left: what a person asks for, and when the disk fills up, what can be had again.

use hoist_image::Digest;
use hoist_image::builder::Kept;
use hoist_planner::images::{Build, Candidate, Going, Room, collect, prune};
use hoist_wire::{ApiError, PruneImages, RemovedImages};

use super::{Images, ids, times};

impl Images {
    /// `prune`.
    pub(crate) fn prune(&self, request: &PruneImages) -> Result<RemovedImages, ApiError> {
        let candidates = self.candidates(&ids(&request.in_use))?;
        let kept = if request.builds { self.kept()? } else { Vec::new() };
        let going = prune(&candidates, &builds(&kept), request.all, request.older_than, times::now());
        self.take_out(&going, &kept, &request.in_use)
    }

    /// Takes out what the disk's fill level asks for; nothing below the watermark.
    pub(crate) async fn collect(&self, in_use: Vec<hoist_model::Digest>) -> Result<RemovedImages, ApiError> {
        self.blocking(move |images| images.make_room(&in_use)).await
    }

    fn make_room(&self, in_use: &[hoist_model::Digest]) -> Result<RemovedImages, ApiError> {
        let Some(room) = self.room().filter(|room| room.is_scarce()) else {
            return Ok(RemovedImages::default());
        };
        let (candidates, kept) = (self.candidates(&ids(in_use))?, self.kept()?);
        let going = collect(&candidates, &builds(&kept), room, times::now());
        if going == Going::default() {
            return Ok(RemovedImages::default());
        }
        self.take_out(&going, &kept, in_use)
    }

    fn kept(&self) -> Result<Vec<Kept>, ApiError> {
        self.store.builds().map_err(|error| ApiError::internal(&error))
    }

    fn room(&self) -> Option<Room> {
        let stat = rustix::fs::statvfs(self.store.root()).ok()?;
        Some(Room { total: stat.f_blocks * stat.f_frsize, free: stat.f_bavail * stat.f_frsize })
    }

    fn candidates(&self, in_use: &[Digest]) -> Result<Vec<Candidate>, ApiError> {
        let usage = self.store.usage().map_err(|error| ApiError::internal(&error))?;
        let images = self.store.list().map_err(|error| ApiError::internal(&error))?;
        let candidate = |image: &hoist_image::Image| Candidate {
            id: hoist_model::Digest(image.id.to_string()),
            bytes: usage.images.iter().find(|one| one.id == image.id).map_or(0, |one| one.unique),
            in_use: in_use.contains(&image.id),
            tagged: image.references.iter().any(|name| name.digest().is_none()),
            elsewhere: image.references.iter().any(|name| name.digest().is_some()),
            used: self.times.used(image.id),
        };
        Ok(images.iter().map(candidate).collect())
    }

    fn take_out(
        &self,
        going: &Going,
        kept: &[Kept],
        in_use: &[hoist_model::Digest],
    ) -> Result<RemovedImages, ApiError> {
        let mut taken = RemovedImages::default();
        let in_use = ids(in_use);
        for id in ids(&going.images) {
            // An image with two manifests is listed twice, and one may be taken by somebody else meanwhile.
            let Ok(removed) = self.store.remove_id(id, true, &in_use) else { continue };
            taken.untagged.extend(removed.untagged.iter().map(hoist_image::Reference::familiar));
            taken.deleted.extend(removed.deleted.map(|id| hoist_model::Digest(id.to_string())));
        }
        let forgotten: Vec<Kept> = going.builds.iter().map(|at| kept[*at].clone()).collect();
        let freed = self.store.forget_builds(&forgotten).map_err(|error| ApiError::internal(&error))?;
        taken.builds = forgotten.len() as u64;
        taken.bytes = freed + self.sweep()?;
        Ok(taken)
    }
}

/// What builds left, as the planner judges it.
fn builds(kept: &[Kept]) -> Vec<Build> {
    let images = |kept: &Kept| kept.images.iter().map(|id| hoist_model::Digest(id.to_string())).collect();
    let build = |kept: &Kept| Build {
        bytes: kept.bytes,
        mount: kept.is_mount(),
        images: images(kept),
        used: kept.used,
    };
    kept.iter().map(build).collect()
}
