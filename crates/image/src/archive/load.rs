//! `load`: an archive becomes images. `import_layout`: an OCI layout directory becomes one.

use std::io::Read;
use std::path::Path;

use super::docker::docker_images;
use super::layout::{Directory, layout_images};
use super::loaded::{LoadError, Loaded};
use super::spool::Spool;
use crate::platform::Platform;
use crate::progress::Progress;
use crate::reference::Reference;
use crate::store::{Documents, NewImage, Session, Store};

impl Store {
    /// Loads all images of an archive: `docker save`'s, old or new, or an OCI layout in a tar;
    /// compressed or not, its layers too. They are on the disk afterwards: the archive may go.
    pub fn load(&self, input: impl Read + Send, progress: &dyn Progress) -> Result<Vec<Loaded>, LoadError> {
        let session = self.session()?;
        let spool = Spool::read(&session, input, progress)?;
        let images = match spool.document("manifest.json")? {
            Some(manifest) => docker_images(&session, &spool, &manifest)?,
            None => match layout_images(&session, &spool, &Platform::host(), None) {
                Err(LoadError::Missing(name)) if name == "index.json" => {
                    return Err(if spool.get("repositories").is_some() {
                        LoadError::TooOld
                    } else {
                        LoadError::NotAnImage
                    });
                }
                other => other?,
            },
        };
        let loaded = images.into_iter().map(|image| take(&session, image, progress)).collect();
        drop((spool, session));
        self.settle()?;
        loaded
    }

    /// Imports one image of the OCI layout at `directory`: the one whose name or tag is `tag`, or
    /// else the only one; of several platforms, the host's. It gets `names`.
    pub fn import_layout(
        &self,
        directory: &Path,
        tag: Option<&str>,
        names: &[Reference],
        progress: &dyn Progress,
    ) -> Result<Loaded, LoadError> {
        let session = self.session()?;
        let layout = Directory::open(directory)?;
        let mut images = layout_images(&session, &layout, &Platform::host(), Some(tag))?;
        let mut image = images.pop().ok_or(LoadError::NotAnImage)?;
        image.names = names.to_vec();
        let loaded = take(&session, image, progress);
        drop(session);
        self.settle()?;
        loaded
    }
}

/// Unpacks and registers an image whose blobs are in the store.
fn take(session: &Session<'_>, image: NewImage, progress: &dyn Progress) -> Result<Loaded, LoadError> {
    let documents = Documents::parse(&image.manifest, &image.config)?;
    session.unpack_missing(&documents.layers(), progress)?;
    let id = session.register(&image)?;
    Ok(Loaded { id, references: image.names })
}
