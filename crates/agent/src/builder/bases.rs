//! The images that a build stands on, found before it is planned.

use futures_util::StreamExt as _;
use hoist_image::builder::dockerfile::Dockerfile;
use hoist_image::builder::plan::{Base, Bases, Need, Request, needs};
use hoist_model::{ImageSource, PullPolicy, ResolvedImage};
use hoist_wire::build::{BuildEvent, BuildRequest};
use hoist_wire::{ApiError, ErrorKind, HostApi as _, ResolveImage, Work};

use super::{Out, refused, say};
use crate::api::Agent;

impl Agent {
    /// Finds or pulls what the file's target needs. A base may have triggers that need more, so it is asked again.
    pub(super) async fn bases(
        &self,
        file: &Dockerfile,
        wanted: &BuildRequest,
        request: &Request,
        out: &Out,
    ) -> Result<Bases, ApiError> {
        let policy = if wanted.pull { PullPolicy::Always } else { PullPolicy::Missing };
        let mut bases = Bases::default();
        loop {
            let needed = needs(file, request, &bases).map_err(|problems| refused(wanted, &problems))?;
            if needed.is_empty() {
                return Ok(bases);
            }
            for need in needed {
                say(out, BuildEvent::Resolving(need.reference.clone())).await;
                let base = self.base(wanted, &need, policy).await?;
                bases.insert(&need, base);
            }
        }
    }

    /// Settles an image as for a service.
    async fn settled(&self, request: ResolveImage) -> Result<ResolvedImage, ApiError> {
        let mut stream = self.resolve_image(request).await?;
        while let Some(item) = stream.next().await {
            if let Work::Done(image) = item? {
                return Ok(image);
            }
        }
        Err(ApiError::new(ErrorKind::Internal, "the search for an image ended without a word"))
    }

    /// What a name of the file stands for, as an image of this host.
    pub(super) async fn base(
        &self,
        wanted: &BuildRequest,
        need: &Need,
        policy: PullPolicy,
    ) -> Result<Base, ApiError> {
        let source = ImageSource::Reference(need.reference.clone());
        let access = wanted.access.clone();
        let found = self.settled(ResolveImage { source, policy, access }).await.map_err(|mut error| {
            error.message = format!("{}: line {}: {}", wanted.dockerfile_name, need.line, error.message);
            error.hint = need.help.clone().or(error.hint);
            error
        })?;
        let missing =
            || ApiError::new(ErrorKind::NotFound, format!("image {} has no configuration", need.reference));
        let id = found.digest.and_then(|digest| digest.0.parse().ok()).ok_or_else(missing)?;
        let document = self.host.images.store().document(id).map_err(|error| ApiError::internal(&error))?;
        let config = serde_json::from_slice(&document).map_err(|error| ApiError::internal(&error))?;
        Ok(Base { id, config })
    }
}
