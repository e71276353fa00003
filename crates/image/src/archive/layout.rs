//! OCI image layouts, in a directory or in an archive (OCI image specification, "Image Layout").

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::loaded::LoadError;
use super::spool::Spool;
use crate::digest::Digest;
use crate::manifest::{CONTAINERD_NAME, Descriptor, Document, Index, Manifest, REF_NAME};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{NewImage, Session, Spooled};

/// Deepest nesting of indexes that is followed.
const DEEPEST: usize = 4;
const LONGEST_DOCUMENT: u64 = 8 << 20;

/// Where the files of a layout come from.
pub(super) trait Layout {
    /// A small file; `None` if there is none.
    fn file(&self, name: &str) -> Result<Option<Vec<u8>>, LoadError>;
    /// A blob, in the session and hashed.
    fn spool(&self, session: &Session<'_>, blob: Digest) -> Result<Spooled, LoadError>;
}

impl Layout for Spool {
    fn file(&self, name: &str) -> Result<Option<Vec<u8>>, LoadError> {
        self.document(name)
    }

    fn spool(&self, _: &Session<'_>, blob: Digest) -> Result<Spooled, LoadError> {
        let name = blob_name(blob);
        let spooled = self.get(&name).ok_or_else(|| LoadError::Missing(name.clone()))?;
        if spooled.digest == blob { Ok(spooled.clone()) } else { Err(LoadError::Damaged(name)) }
    }
}

/// A layout's directory. Its files are opened below it, wherever links in it point.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self, LoadError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path: path.to_owned() }),
            Err(errno) => Err(LoadError::Open { path: path.to_owned(), source: errno.into() }),
        }
    }

    fn read(&self, name: &str) -> Result<Option<File>, LoadError> {
        // Never waits for a pipe's other end; a device or a pipe is no blob and has no digest.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed(name)(errno.into())),
        }
    }

    fn failed(&self, name: &str) -> impl FnOnce(io::Error) -> LoadError {
        let path = self.path.join(name);
        move |source| LoadError::Open { path, source }
    }
}

impl Layout for Directory {
    fn file(&self, name: &str) -> Result<Option<Vec<u8>>, LoadError> {
        let Some(file) = self.read(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(LONGEST_DOCUMENT).read_to_end(&mut bytes).map_err(self.failed(name))?;
        Ok(Some(bytes))
    }

    fn spool(&self, session: &Session<'_>, blob: Digest) -> Result<Spooled, LoadError> {
        let name = blob_name(blob);
        let mut file = self.read(&name)?.ok_or_else(|| LoadError::Missing(name.clone()))?;
        let mut writer = session.blob_writer()?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let n = file.read(&mut buffer).map_err(self.failed(&name))?;
            if n == 0 {
                break;
            }
            io::Write::write_all(&mut writer, &buffer[..n]).map_err(LoadError::Spool)?;
        }
        let spooled = writer.finish();
        if spooled.digest == blob { Ok(spooled) } else { Err(LoadError::Damaged(name)) }
    }
}

pub(super) fn blob_name(blob: Digest) -> String {
    format!("blobs/sha256/{}", blob.hex())
}

/// The images of a layout, with their blobs put into the store. With `tag`, it is one image: that of
/// the name, or with `Some(None)` the only one there is.
pub(super) fn layout_images(
    session: &Session<'_>,
    layout: &dyn Layout,
    platform: &Platform,
    tag: Option<Option<&str>>,
) -> Result<Vec<NewImage>, LoadError> {
    let bytes = layout.file("index.json")?.ok_or_else(|| LoadError::Missing("index.json".to_owned()))?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|source| LoadError::Json { name: "index.json".to_owned(), source })?;
    let mut groups = by_name(&index);
    if let Some(tag) = tag {
        groups = vec![select(groups, tag)?];
    }
    let image = |(name, index): (Option<String>, Index)| {
        let (manifest, bytes) = descend(layout, &index, platform, DEEPEST)?;
        let layers: Vec<_> = manifest.layers.iter().map(|layer| layer.digest).collect();
        keep_blobs(session, layout, &layers)?;
        let config = document(layout, manifest.config.digest)?;
        let names = name.as_deref().and_then(whole_reference).into_iter().collect();
        Ok(NewImage { manifest: bytes, config, names })
    };
    groups.into_iter().map(image).collect()
}

/// Entries of one name are one image, for several platforms.
fn by_name(index: &Index) -> Vec<(Option<String>, Index)> {
    let mut groups: Vec<(Option<String>, Index)> = Vec::new();
    for entry in &index.manifests {
        let name =
            entry.annotations.get(CONTAINERD_NAME).or_else(|| entry.annotations.get(REF_NAME)).cloned();
        let at = groups.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            groups.push((name, Index { schema_version: 2, ..Index::default() }));
            groups.len() - 1
        });
        groups[at].1.manifests.push(entry.clone());
    }
    groups
}

fn select(
    mut groups: Vec<(Option<String>, Index)>,
    tag: Option<&str>,
) -> Result<(Option<String>, Index), LoadError> {
    let found =
        || groups.iter().map(|(name, _)| name.clone().unwrap_or_else(|| "<none>".to_owned())).collect();
    let Some(tag) = tag else {
        return match groups.len() {
            0 => Err(LoadError::NotAnImage),
            1 => Ok(groups.remove(0)),
            _ => Err(LoadError::SeveralImages(found())),
        };
    };
    let named = |(name, _): &(Option<String>, Index)| {
        name.as_deref().is_some_and(|name| {
            name == tag || whole_reference(name).is_some_and(|reference| reference.tag() == Some(tag))
        })
    };
    match groups.iter().position(named) {
        Some(at) => Ok(groups.remove(at)),
        None => Err(LoadError::NoSuchName { wanted: tag.to_owned(), found: found() }),
    }
}

/// A name in a layout may be a tag alone, which says nothing about the repository.
fn whole_reference(name: &str) -> Option<Reference> {
    name.contains(['/', ':']).then(|| name.parse().ok()).flatten()
}

/// Follows an index to the manifest for `platform`, and returns it with its bytes.
fn descend(
    layout: &dyn Layout,
    index: &Index,
    platform: &Platform,
    depth: usize,
) -> Result<(Manifest, Vec<u8>), LoadError> {
    let nothing = || LoadError::Platform { wanted: platform.clone(), found: index.platforms() };
    let entry: &Descriptor = index.choose(platform).ok_or_else(nothing)?;
    let bytes = document(layout, entry.digest)?;
    let parsed =
        Document::parse(&bytes).map_err(|source| LoadError::Manifest { digest: entry.digest, source })?;
    match parsed {
        Document::Manifest(manifest) => Ok((manifest, bytes)),
        Document::Index(_) if depth == 0 => Err(LoadError::Nested),
        Document::Index(inner) => descend(layout, &inner, platform, depth - 1),
    }
}

pub(super) fn document(layout: &dyn Layout, digest: Digest) -> Result<Vec<u8>, LoadError> {
    let name = blob_name(digest);
    let bytes = layout.file(&name)?.ok_or_else(|| LoadError::Missing(name.clone()))?;
    if Digest::of(&bytes) == digest { Ok(bytes) } else { Err(LoadError::Damaged(name)) }
}

/// Splits `DIR` or `DIR:TAG`. A directory that exists under the whole text is meant as it stands.
pub fn split_layout(text: &str) -> (PathBuf, Option<String>) {
    let whole = PathBuf::from(text);
    match text.rsplit_once(':') {
        Some((directory, tag)) if !tag.contains('/') && !fs::exists(&whole).unwrap_or(false) => {
            (PathBuf::from(directory), Some(tag.to_owned()))
        }
        _ => (whole, None),
    }
}

/// Puts a manifest's blobs into the store.
fn keep_blobs(session: &Session<'_>, layout: &dyn Layout, blobs: &[Digest]) -> Result<(), LoadError> {
    blobs
        .iter()
        .filter_map(|&blob| match session.has_blob(blob) {
            Ok(true) => None,
            Ok(false) => Some(layout.spool(session, blob).and_then(|spooled| Ok(session.keep(&spooled)?))),
            Err(error) => Some(Err(error.into())),
        })
        .collect()
}
