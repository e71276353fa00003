//! Whether all in the store is what its name says.

use super::gc::contents;
use super::images::RegisterError;
use super::{Store, StoreError};
use crate::digest::Digest;

/// Something in the store that is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("blob {0} has other content than its name says")]
    Blob(Digest),
    #[error("layer {0} has no record, or no tree")]
    Layer(Digest),
    #[error("image {id} is incomplete")]
    Image { id: Digest, source: RegisterError },
}

impl Store {
    /// Reads every blob, record and image. Nothing is changed; an empty list is a sound store.
    pub fn verify(&self) -> Result<Vec<Fault>, StoreError> {
        let mut faults = Vec::new();
        // What a session is just putting in place is whole by then.
        let blobs = contents(&self.root.join("blobs/sha256"))?;
        faults.extend(
            blobs
                .into_iter()
                .filter(|&(digest, _)| !self.blob_is_whole(digest))
                .map(|(digest, _)| Fault::Blob(digest)),
        );
        for (layer, _) in contents(&self.root.join("layers"))? {
            if !matches!(self.layer_record(layer), Ok(Some(_))) || !self.tree(layer).is_dir() {
                faults.push(Fault::Layer(layer));
            }
        }
        for named in self.names()?.0 {
            let missing = self.documents(named.manifest.digest, named.id).and_then(|documents| {
                let stack = self.stack(&documents.diff_ids)?;
                stack.into_iter().collect::<Result<Vec<_>, _>>().map_err(RegisterError::LayerMissing)?;
                documents.manifest.layers.iter().try_for_each(|layer| self.blob(layer.digest).map(drop))?;
                Ok(())
            });
            faults.extend(missing.err().map(|source| Fault::Image { id: named.id, source }));
        }
        Ok(faults)
    }
}
