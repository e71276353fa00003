//! What killed processes and power cuts left, put right.
//!
//! A dead session of this boot was killed: all it put in place is whole, in memory if not on disk
//! yet, and settles like any other. One of an earlier boot may have put names in place whose content
//! never reached the disk.

use std::fs::{self, File};

use super::session::Other;
use super::{Lock, Store, StoreError};
use crate::digest::Digest;

impl Store {
    /// Puts the store right, when it is opened.
    pub(super) fn recover(&self) -> Result<(), StoreError> {
        let lock = self.lock(Lock::Exclusive)?;
        self.lay_out()?;
        let mut doubtful = self.clear_dead_sessions(&lock)?;
        let unsettled = self.unsettled()?.into_iter();
        doubtful
            .extend(unsettled.filter(|session| session.dead.is_some() && session.is_of_an_earlier_boot()));
        for digest in doubtful.iter().flat_map(|session| session.pins("made")) {
            self.drop_if_unsure(digest)?;
        }
        drop(lock);
        self.refill();
        if !doubtful.is_empty() {
            self.mend_images()?;
        }
        // Last, so that another power cut finds the same doubts.
        doubtful.iter().try_for_each(Other::remove)?;
        if !self.unsettled()?.is_empty() {
            self.settle_soon();
        }
        Ok(())
    }

    /// Clears dead sessions, but for what has to settle yet; gives those of an earlier boot. The lock is held
    /// exclusively, so nothing is being put in place.
    pub(super) fn clear_dead_sessions(&self, _exclusive: &File) -> Result<Vec<Other>, StoreError> {
        let mut doubtful = Vec::new();
        for session in self.sessions()?.into_iter().filter(|other| other.dead.is_some()) {
            match (session.has_made(), session.is_of_an_earlier_boot()) {
                (false, _) => session.remove()?,
                (true, false) => session.end(&self.root)?,
                (true, true) => doubtful.push(session),
            }
        }
        Ok(doubtful)
    }

    /// Unpacks again, from their blobs, the layers that images miss. An image that can't be made whole again, since a
    /// blob was lost too, is forgotten: pulling, building or loading brings it back.
    fn mend_images(&self) -> Result<(), StoreError> {
        let session = self.session()?;
        let mut lost = Vec::new();
        for named in self.names()?.0 {
            let mended = self.documents(named.manifest.digest, named.id).is_ok_and(|documents| {
                session.unpack_missing(&documents.layers(), &()).is_ok()
                    && session.mend_implied(&documents.diff_ids).is_ok()
            });
            if !mended {
                lost.push(named);
            }
        }
        self.rename(|names| names.0.retain(|named| !lost.contains(named)))
    }

    /// A blob can be read again to be sure of it. A layer can't, and goes.
    fn drop_if_unsure(&self, digest: Digest) -> Result<(), StoreError> {
        let blob = self.blob_path(digest);
        if blob.exists() && !self.blob_is_whole(digest) {
            fs::remove_file(&blob).map_err(StoreError::io("removing", &blob))?;
        }
        let layer = self.layer_path(digest);
        if layer.exists() {
            let doomed = self.root.join("tmp").join(format!("{}-lost", digest.hex()));
            fs::rename(&layer, &doomed).map_err(StoreError::io("removing", &layer))?;
            fs::remove_dir_all(&doomed).map_err(StoreError::io("removing", &doomed))?;
        }
        Ok(())
    }
}
