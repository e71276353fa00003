//! `--check`: what is wrong or odd in a Dockerfile, without a build, a download or a change.

use hoist_image::builder::dockerfile::Dockerfile;
use hoist_image::builder::plan::{Base, Bases, Need, Request, needs, plan};
use hoist_image::digest::Digest;
use hoist_model::PullPolicy;
use hoist_wire::build::{BuildEvent, BuildRequest};
use hoist_wire::{ApiError, ErrorKind};

use super::{Out, fetched, refused, request, say, warnings};
use crate::api::Agent;

/// The check that needs to know what a base sets.
const UNSET: &str = "UndefinedVar";

impl Agent {
    /// Says what is odd, and how much it is.
    pub(super) async fn checked(&self, wanted: BuildRequest, out: &Out) -> Result<usize, ApiError> {
        let store = self.host.images.store();
        let (wanted, _fetched) = fetched::fetch(store, wanted, out, &self.host.builds).await?;
        let wanted = &wanted;
        let file = Dockerfile::parse(&wanted.dockerfile).map_err(|problems| refused(wanted, &problems))?;
        let request = request(wanted)?;
        let (bases, unknown) = self.bases_at_hand(&file, wanted, &request).await?;
        let mut planned = plan(&file, &request, &bases).map_err(|problems| refused(wanted, &problems))?;
        if !unknown.is_empty() {
            planned.warnings.retain(|warning| warning.check != UNSET);
            let names = unknown.join(", ");
            let text = format!("not here, so that variables are not checked against what they set: {names}");
            say(out, BuildEvent::Warning(text)).await;
        }
        let odd = warnings(wanted, &planned);
        for text in &odd {
            say(out, BuildEvent::Warning(text.clone())).await;
        }
        Ok(odd.len())
    }

    /// The bases that are here; the others stand for nothing, and are named.
    async fn bases_at_hand(
        &self,
        file: &Dockerfile,
        wanted: &BuildRequest,
        request: &Request,
    ) -> Result<(Bases, Vec<String>), ApiError> {
        let (mut bases, mut unknown) = (Bases::default(), Vec::new());
        loop {
            let needed = needs(file, request, &bases).map_err(|problems| refused(wanted, &problems))?;
            if needed.is_empty() {
                return Ok((bases, unknown));
            }
            for need in needed {
                let base = match self.base(wanted, &need, PullPolicy::Never).await {
                    Err(error) if error.kind == ErrorKind::NotFound => {
                        unknown.push(need.reference.clone());
                        nothing(&need)
                    }
                    found => found?,
                };
                bases.insert(&need, base);
            }
        }
    }
}

/// An image that says nothing.
fn nothing(need: &Need) -> Base {
    Base { id: Digest::of(need.reference.as_bytes()), config: serde_json::json!({}) }
}
