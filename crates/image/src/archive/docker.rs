//! `docker save`'s format: `manifest.json` names configurations and layers by path.
//!
//! Docker since 25 writes an OCI layout with it. Where that has a manifest for an image, it is kept,
//! since a registry knows the image by its digest; otherwise a manifest is made.

use serde::Deserialize;

use super::layout::{Layout, document};
use super::loaded::LoadError;
use super::spool::Spool;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Document, Index, Manifest, OCI_CONFIG, layer_media_type};
use crate::store::{NewImage, Session, Spooled};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// The images that `manifest` lists, with their layers put into the store.
pub(super) fn docker_images(
    session: &Session<'_>,
    spool: &Spool,
    manifest: &[u8],
) -> Result<Vec<NewImage>, LoadError> {
    let bad = |source| LoadError::Json { name: "manifest.json".to_owned(), source };
    let items: Vec<Item> = serde_json::from_slice(manifest).map_err(bad)?;
    if items.is_empty() {
        return Err(LoadError::NotAnImage);
    }
    let manifests = oci_manifests(spool)?;
    items.iter().map(|item| image(session, spool, item, &manifests)).collect()
}

fn image(
    session: &Session<'_>,
    spool: &Spool,
    item: &Item,
    manifests: &[(Manifest, Vec<u8>)],
) -> Result<NewImage, LoadError> {
    let config = named(spool, &item.config)?;
    let layers =
        item.layers.iter().flatten().map(|name| named(spool, name)).collect::<Result<Vec<_>, _>>()?;
    let names = item.repo_tags.iter().flatten().map(|name| name.parse());
    let names = names.collect::<Result<Vec<_>, _>>().map_err(LoadError::Name)?;
    for layer in &layers {
        session.keep(layer)?;
    }
    let given = manifests.iter().find(|(manifest, _)| {
        manifest.config.digest == config.digest
            && manifest.layers.iter().map(|layer| layer.digest).eq(layers.iter().map(|layer| layer.digest))
    });
    let manifest = match given {
        Some((_, bytes)) => bytes.clone(),
        None => made_manifest(session, config, &layers)?,
    };
    Ok(NewImage { manifest, config: config.document()?, names })
}

/// The file; where its name is a digest, its content must have it.
fn named<'s>(spool: &'s Spool, name: &str) -> Result<&'s Spooled, LoadError> {
    let spooled = spool.get(name).ok_or_else(|| LoadError::Missing(name.to_owned()))?;
    let last = name.rsplit('/').next().unwrap_or(name);
    match Digest::from_hex(last.strip_suffix(".json").or(last.strip_suffix(".tar")).unwrap_or(last)) {
        Ok(digest) if digest != spooled.digest => Err(LoadError::Damaged(name.to_owned())),
        _ => Ok(spooled),
    }
}

fn made_manifest(session: &Session<'_>, config: &Spooled, layers: &[&Spooled]) -> Result<Vec<u8>, LoadError> {
    let layer = |layer: &&Spooled| {
        let compression = session.blob_compression(layer.digest)?;
        Ok::<_, LoadError>(Descriptor::new(&layer_media_type(compression), layer.digest, layer.size))
    };
    let layers = layers.iter().map(layer).collect::<Result<_, _>>()?;
    let manifest = Manifest::new(Descriptor::new(OCI_CONFIG, config.digest, config.size), layers);
    serde_json::to_vec(&manifest).map_err(|source| LoadError::Json { name: "manifest".to_owned(), source })
}

/// All manifests that the archive's index leads to and that are in it.
fn oci_manifests(spool: &Spool) -> Result<Vec<(Manifest, Vec<u8>)>, LoadError> {
    let mut found = Vec::new();
    let mut indexes: Vec<Index> = Vec::new();
    if let Some(bytes) = spool.file("index.json")? {
        indexes.extend(serde_json::from_slice::<Index>(&bytes).ok());
    }
    // A nested index is visited once for each mention, and there are at most as many as entries.
    let mut budget = 1000;
    while let Some(index) = indexes.pop() {
        for entry in index.manifests {
            let Ok(bytes) = document(spool, entry.digest) else { continue };
            budget -= 1;
            match Document::parse(&bytes) {
                Ok(Document::Manifest(manifest)) => found.push((manifest, bytes)),
                Ok(Document::Index(inner)) if budget > 0 => indexes.push(inner),
                // Attestations and what is not for this host's kind of container: not listed, not needed.
                _ => {}
            }
        }
    }
    Ok(found)
}
