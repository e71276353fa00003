//! `load`: an archive becomes images. `import_layout`: an OCI layout directory becomes one.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::docker::docker_images;
use super::layout::{Directory, Layout, layout_images};
use super::spool::Spool;
use crate::digest::Digest;
use crate::layer::TarError;
use crate::manifest::ManifestError;
use crate::platform::Platform;
use crate::progress::Progress;
use crate::reference::{Reference, ReferenceError};
use crate::store::{BlobError, Documents, LayerError, NewImage, RegisterError, Session, Store, StoreError};

/// Why an archive or layout was not loaded. Images that came before the fault stay loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error("reading the archive failed")]
    Read(#[source] io::Error),
    #[error("writing to the store failed")]
    Spool(#[source] io::Error),
    #[error("it is not a tar archive that can be read")]
    Tar(#[from] TarError),
    #[error("it is not an image archive: it has neither manifest.json nor index.json")]
    NotAnImage,
    #[error(
        "it was saved by Docker before version 1.10, which is not supported; load and save it with a newer one"
    )]
    TooOld,
    #[error("{name} is not valid")]
    Json { name: String, source: serde_json::Error },
    #[error("{0} is missing")]
    Missing(String),
    #[error("{0} is damaged: its content is not what its name says")]
    Damaged(String),
    #[error("manifest {digest} can't be used")]
    Manifest { digest: Digest, source: ManifestError },
    #[error("it has no image for {wanted}, only for {}", .found.join(", "))]
    Platform { wanted: Platform, found: Vec<String> },
    #[error("it has no image named {wanted:?}, only {}", .found.join(", "))]
    NoSuchName { wanted: String, found: Vec<String> },
    #[error("it has several images, so one must be named: {}", .0.join(", "))]
    SeveralImages(Vec<String>),
    #[error("it names an image wrongly")]
    Name(#[source] ReferenceError),
    #[error(transparent)]
    Change(#[from] super::import::ChangeError),
    #[error("its indexes are nested too deeply")]
    Nested,
    #[error("opening {path} failed")]
    Open { path: PathBuf, source: io::Error },
}

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub id: Digest,
    /// The names it has from now on; none if the archive gave none.
    pub references: Vec<Reference>,
}

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

/// Puts a manifest's blobs into the store.
pub(super) fn keep_blobs(
    session: &Session<'_>,
    layout: &dyn Layout,
    blobs: &[Digest],
) -> Result<(), LoadError> {
    blobs
        .iter()
        .filter_map(|&blob| match session.has_blob(blob) {
            Ok(true) => None,
            Ok(false) => Some(layout.spool(session, blob).and_then(|spooled| Ok(session.keep(&spooled)?))),
            Err(error) => Some(Err(error.into())),
        })
        .collect()
}
