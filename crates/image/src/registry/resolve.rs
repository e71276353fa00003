//! What a registry has under a name, without fetching it.

use super::RegistryError;
use super::client::{Endpoint, Registries};
use crate::digest::Digest;
use crate::reference::Reference;

impl Registries {
    /// The digest that `reference` stands for now: of an index where the registry has one. Asks for headers alone; the
    /// manifest is fetched only where a registry doesn't say its digest.
    pub fn resolve(&self, reference: &Reference) -> Result<Digest, RegistryError> {
        self.first_of(reference, |endpoint| match self.manifest_digest(endpoint, reference)? {
            Some(digest) => Ok(digest),
            None => Ok(self.manifest(endpoint, reference)?.digest),
        })
    }

    /// Asks mirrors, then the registry itself, which has the last word.
    pub(super) fn first_of<T, E>(
        &self,
        reference: &Reference,
        ask: impl Fn(&Endpoint) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut endpoints = self.endpoints(reference.registry());
        let own = endpoints.pop().unwrap_or_else(|| self.endpoint(reference.registry()));
        endpoints.iter().find_map(|mirror| ask(mirror).ok()).map_or_else(|| ask(&own), Ok)
    }
}
