//! What killed processes and power cuts left, put right.
//!
//! A dead session of this boot was killed: all it put in place is whole, in memory if not on disk
//! yet. One of an earlier boot may have put names in place whose content never reached the disk.

use std::fs::{self, File};

use super::session::Other;
use super::{Store, StoreError};
use crate::digest::Digest;

impl Store {
    /// Clears dead sessions; says whether layers were lost. The lock is held exclusively, so nothing
    /// is being put in place.
    pub(super) fn clear_dead_sessions(&self, _exclusive: &File) -> Result<bool, StoreError> {
        let dead: Vec<Other> = self.sessions()?.into_iter().filter(|other| other.dead.is_some()).collect();
        if dead.is_empty() {
            return Ok(false);
        }
        let mut lost = false;
        for session in dead.iter().filter(|session| session.is_of_an_earlier_boot()) {
            for digest in session.pins("made") {
                lost |= self.drop_if_unsure(digest)?;
            }
        }
        if dead.iter().any(|session| !session.is_of_an_earlier_boot() && !session.pins("made").is_empty()) {
            self.sync()?;
        }
        for session in dead {
            fs::remove_dir_all(&session.path).map_err(StoreError::io("removing", &session.path))?;
        }
        Ok(lost)
    }

    /// Unpacks again, from their blobs, the layers that images miss. What can't be made again, since
    /// its blob was lost too, `resolve` and `verify` name, and loading or pulling brings back.
    pub(super) fn unpack_lost(&self) -> Result<(), StoreError> {
        let session = self.session()?;
        for named in self.names()?.0 {
            let Ok(documents) = self.documents(named.manifest.digest, named.id) else { continue };
            if session.unpack_missing(&documents.layers(), &()).is_ok() {
                session.mend_implied(&documents.diff_ids)?;
            }
        }
        self.sync()
    }

    /// A blob can be read again to be sure of it. A layer can't, and goes.
    fn drop_if_unsure(&self, digest: Digest) -> Result<bool, StoreError> {
        let blob = self.blob_path(digest);
        if blob.exists() && !self.blob_is_whole(digest) {
            fs::remove_file(&blob).map_err(StoreError::io("removing", &blob))?;
        }
        let layer = self.layer_path(digest);
        let lost = layer.exists();
        if lost {
            let doomed = self.root.join("tmp").join(format!("{}-lost", digest.hex()));
            fs::rename(&layer, &doomed).map_err(StoreError::io("removing", &layer))?;
            fs::remove_dir_all(&doomed).map_err(StoreError::io("removing", &doomed))?;
        }
        Ok(lost)
    }
}
