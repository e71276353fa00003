//! Pushes.

use hoist_image::Reference;
use hoist_model::Digest;
use hoist_wire::{ApiError, CheckLogin, PushImage, PushedImage, RegistryAccess, WorkStream};
use tokio::sync::watch;

use super::transfer::{Counter, State, Way, follow};
use super::{Images, explain, reference};

impl Images {
    /// Sends an image to the registry that its name says.
    pub(crate) fn push(&self, request: PushImage) -> Result<WorkStream<PushedImage>, ApiError> {
        let name = reference(&request.reference)?;
        let (sender, receiver) = watch::channel(State::new(Way::Push));
        let (images, shown) = (self.clone(), name.familiar());
        tokio::task::spawn_blocking(move || {
            let outcome = images.push_now(&name, &request.access, &sender);
            sender.send_modify(|state| state.end(outcome));
        });
        Ok(follow(shown, receiver))
    }

    fn push_now(
        &self,
        name: &Reference,
        access: &RegistryAccess,
        transfer: &watch::Sender<State<PushedImage>>,
    ) -> Result<PushedImage, ApiError> {
        let shown = name.familiar();
        let image = self.find(&shown)?;
        let registries = self.declared.way_to(name.registry(), access)?;
        let pushed = self.store.push(&registries, &image, name, &Counter(transfer));
        let pushed = pushed.map_err(|error| explain::push(&shown, &error))?;
        Ok(PushedImage { reference: shown, digest: Digest(pushed.digest.to_string()), size: pushed.size })
    }

    /// Shows a registry the credentials that came along.
    pub(crate) async fn check_login(&self, request: CheckLogin) -> Result<(), ApiError> {
        self.blocking(move |images| {
            let registries = images.declared.way_to(&request.registry, &request.access)?;
            let checked = registries.check_login(&request.registry);
            checked.map_err(|error| explain::login(&error))
        })
        .await
    }
}
