//! `save`: images become an archive that Docker, podman and skopeo read, as an OCI layout with
//! `manifest.json` beside it. The same images give the same bytes.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::Serialize;
use tar::{EntryType, Header};

use super::layout::blob_name;
use crate::digest::Digest;
use crate::manifest::{CONTAINERD_NAME, Descriptor, Index, OCI_INDEX, OCI_MANIFEST, REF_NAME};
use crate::reference::Reference;
use crate::store::{BlobError, Image, RegisterError, Store};

/// Why images were not saved. What was written so far is no whole archive.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    #[error(transparent)]
    Image(#[from] RegisterError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("writing the archive failed")]
    Write(#[from] io::Error),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl Store {
    /// Saves images, each with the names given for it.
    pub fn save(&self, images: &[(Image, Vec<Reference>)], output: impl Write) -> Result<(), SaveError> {
        let mut archive = tar::Builder::new(output);
        let mut blobs = BTreeSet::new();
        let mut items = Vec::new();
        let mut index = Index { schema_version: 2, media_type: OCI_INDEX.to_owned(), manifests: Vec::new() };
        for (image, names) in images {
            let documents = self.documents(image.manifest, image.id)?;
            let layers: Vec<Digest> = documents.manifest.layers.iter().map(|layer| layer.digest).collect();
            blobs.extend([image.manifest, image.id].into_iter().chain(layers.iter().copied()));
            items.push(Item {
                config: blob_name(image.id),
                repo_tags: names
                    .iter()
                    .filter(|name| name.digest().is_none())
                    .map(Reference::familiar)
                    .collect(),
                layers: layers.into_iter().map(blob_name).collect(),
            });
            let media_type = match &documents.manifest.media_type[..] {
                "" => OCI_MANIFEST,
                given => given,
            };
            index.manifests.extend(self.entries(image, names, media_type)?);
        }
        directory(&mut archive, "blobs/")?;
        directory(&mut archive, "blobs/sha256/")?;
        for blob in blobs {
            let content = self.blob(blob)?;
            let size = content.metadata()?.len();
            file(&mut archive, &blob_name(blob), size, content)?;
        }
        let documents = [
            ("index.json", serde_json::to_vec(&index).map_err(io::Error::other)?),
            ("manifest.json", serde_json::to_vec(&items).map_err(io::Error::other)?),
            ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ];
        for (name, content) in documents {
            file(&mut archive, name, content.len() as u64, &content[..])?;
        }
        archive.into_inner()?.flush()?;
        Ok(())
    }

    fn entries(
        &self,
        image: &Image,
        names: &[Reference],
        media_type: &str,
    ) -> Result<Vec<Descriptor>, SaveError> {
        let size = self.blob(image.manifest)?.metadata()?.len();
        let entry = Descriptor::new(media_type, image.manifest, size);
        let named = names.iter().map(|name| {
            let mut entry = entry.clone();
            entry.annotations.insert(CONTAINERD_NAME.to_owned(), name.to_string());
            entry.annotations.insert(REF_NAME.to_owned(), name.tag().unwrap_or_default().to_owned());
            entry
        });
        let named: Vec<_> = named.collect();
        Ok(if named.is_empty() { vec![entry] } else { named })
    }
}

fn directory(archive: &mut tar::Builder<impl Write>, name: &str) -> io::Result<()> {
    let mut header = header(EntryType::Directory, 0o755, 0);
    archive.append_data(&mut header, name, io::empty())
}

fn file(
    archive: &mut tar::Builder<impl Write>,
    name: &str,
    size: u64,
    content: impl io::Read,
) -> io::Result<()> {
    let mut header = header(EntryType::Regular, 0o644, size);
    archive.append_data(&mut header, name, content)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
