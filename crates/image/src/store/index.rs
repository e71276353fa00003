//! `index.json`: which names stand for which manifests.
//!
//! It is an OCI image index. Each entry points at a manifest, has at most one name, and notes the
//! image's id, so that nothing else has to be read to find one. A manifest that lost its last name
//! stays as an entry without one until it is collected.

use std::fs;
use std::io;

use super::{Lock, Store, StoreError, lock_file, write_whole};
use crate::digest::Digest;
use crate::manifest::{Descriptor, Index, OCI_INDEX, REF_NAME};
use crate::reference::Reference;

/// Annotation of an entry: the digest of the image's configuration.
const IMAGE_ID: &str = "hoist.image.id";

/// One name of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) manifest: Descriptor,
    pub(super) id: Digest,
    pub(super) name: Option<Reference>,
}

/// All names, in the order they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names(pub(super) Vec<Named>);

impl Names {
    /// Lets `name` stand for the manifest; whatever had the name stays, without it.
    pub(super) fn give(&mut self, name: Option<&Reference>, manifest: &Descriptor, id: Digest) {
        if let Some(name) = name {
            self.take(name);
        }
        let same = |named: &Named| named.manifest.digest == manifest.digest;
        if name.is_none() && self.0.iter().any(same) {
            return;
        }
        self.0.retain(|named| !(same(named) && named.name.is_none()));
        self.0.push(Named { manifest: manifest.clone(), id, name: name.cloned() });
    }

    /// Takes a name away; says whether there was one.
    pub(super) fn take(&mut self, name: &Reference) -> bool {
        let Some(at) = self.0.iter().position(|named| named.name.as_ref() == Some(name)) else {
            return false;
        };
        let digest = self.0[at].manifest.digest;
        if self.0.iter().filter(|named| named.manifest.digest == digest).count() > 1 {
            self.0.remove(at);
        } else {
            self.0[at].name = None;
        }
        true
    }

    /// The names of one image, under whichever manifest.
    pub(super) fn of(&self, id: Digest) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter(move |named| named.id == id).filter_map(|named| named.name.as_ref())
    }

    /// The image that has `name`, and what goes when that name is taken away: the name, and names by digest of its
    /// repository if no tag of it is left, since nobody gave those by hand.
    pub(super) fn going_with(&self, name: &Reference) -> Option<(Digest, Vec<Reference>)> {
        let id = self.0.iter().find(|named| named.name.as_ref() == Some(name))?.id;
        let others = || self.of(id).filter(|other| *other != name && other.same_repository(name));
        let tag_left = name.tag().is_none() || others().any(|other| other.tag().is_some());
        let digests = others().filter(|_| !tag_left).cloned();
        Some((id, std::iter::once(name.clone()).chain(digests).collect()))
    }

    /// What `reference` stands for. A digest counts before a tag, under any name of its repository.
    pub(super) fn find(&self, reference: &Reference) -> Option<&Named> {
        let Some(digest) = reference.digest() else {
            return self.0.iter().find(|named| named.name.as_ref() == Some(reference));
        };
        let pinned = reference.with_digest(digest);
        let stands = |named: &&Named| match &named.name {
            Some(name) => {
                *name == pinned || (named.manifest.digest == digest && name.same_repository(reference))
            }
            None => false,
        };
        self.0.iter().find(stands)
    }
}

impl Store {
    pub(super) fn names(&self) -> Result<Names, StoreError> {
        let path = self.root.join("index.json");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Names::default()),
            other => other.map_err(StoreError::io("reading", &path))?,
        };
        let damaged = |source| StoreError::Damaged { path: path.clone(), source };
        let index: Index = serde_json::from_slice(&bytes).map_err(damaged)?;
        let named = index.manifests.into_iter().map(|entry| named(entry).map_err(damaged));
        named.collect::<Result<_, _>>().map(Names)
    }

    /// Changes the names, all or nothing. Nobody else changes them meanwhile.
    pub(super) fn rename<T>(&self, change: impl FnOnce(&mut Names) -> T) -> Result<T, StoreError> {
        let _lock = lock_file(&self.root.join("index.lock"), Lock::Exclusive)?;
        let mut names = self.names()?;
        let before = names.clone();
        let result = change(&mut names);
        if names != before {
            let fewer = names.0.len() <= before.0.len();
            let manifests = names.0.into_iter().map(entry).collect();
            let index = Index { schema_version: 2, media_type: OCI_INDEX.to_owned(), manifests };
            let path = self.root.join("index.json");
            let json = serde_json::to_vec_pretty(&index).map_err(io::Error::other);
            let json = json.map_err(StoreError::io("writing", &path))?;
            // Room is kept back for what gives room.
            match fewer {
                true => self.with_reserve(|| write_whole(&path, &json))?,
                false => write_whole(&path, &json)?,
            }
        }
        Ok(result)
    }
}

fn named(mut entry: Descriptor) -> Result<Named, serde_json::Error> {
    use serde::de::Error as _;
    let id = entry.annotations.remove(IMAGE_ID).ok_or_else(|| serde_json::Error::missing_field(IMAGE_ID))?;
    let id = id.parse().map_err(serde_json::Error::custom)?;
    let name = entry.annotations.remove(REF_NAME).map(|name| name.parse().map_err(serde_json::Error::custom));
    Ok(Named { manifest: entry, id, name: name.transpose()? })
}

fn entry(named: Named) -> Descriptor {
    let mut entry = named.manifest;
    entry.annotations.insert(IMAGE_ID.to_owned(), named.id.to_string());
    if let Some(name) = named.name {
        entry.annotations.insert(REF_NAME.to_owned(), name.to_string());
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::OCI_MANIFEST;

    fn manifest(byte: u8) -> Descriptor {
        Descriptor::new(OCI_MANIFEST, Digest::of(&[byte]), 1)
    }

    fn text(names: &Names) -> Vec<String> {
        let name = |named: &Named| named.name.as_ref().map_or("-".to_owned(), Reference::familiar);
        names.0.iter().map(|named| format!("{} {}", name(named), &named.manifest.digest.hex()[..2])).collect()
    }

    #[test]
    fn a_name_moves_and_what_it_named_stays() {
        let (a, b): (Reference, Reference) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (one, two, id) = (manifest(1), manifest(2), Digest::of(b"id"));
        let (x, y) = (&one.digest.hex()[..2], &two.digest.hex()[..2]);
        let mut names = Names::default();
        names.give(Some(&a), &one, id);
        names.give(Some(&b), &one, id);
        names.give(None, &one, id);
        assert_eq!(text(&names), [format!("a:latest {x}"), format!("b:latest {x}")]);
        names.give(Some(&a), &two, id);
        names.give(Some(&b), &two, id);
        assert_eq!(text(&names), [format!("- {x}"), format!("a:latest {y}"), format!("b:latest {y}")]);
        names.give(Some(&a), &one, id);
        assert_eq!(text(&names), [format!("b:latest {y}"), format!("a:latest {x}")]);
        assert!(names.take(&a) && !names.take(&a));
    }

    #[test]
    fn a_digest_finds_any_name_of_its_repository() {
        let mut names = Names::default();
        let one = manifest(1);
        names.give(Some(&"app:1".parse().unwrap()), &one, one.digest);
        let find = |text: String| names.find(&text.parse().unwrap()).is_some();
        assert!(find("app:1".into()) && !find("app:2".into()));
        assert!(find(format!("app@{}", one.digest)));
        assert!(find(format!("app:other@{}", one.digest)));
        assert!(!find(format!("other@{}", one.digest)));
    }
}
