//! Directories that a layer's entries are in, but that no entry of it describes.
//!
//! Unpacking had to make them, and overlayfs takes a directory's owner, mode and times from the
//! topmost layer that has it: the one below would be masked. A layer is shared by images with
//! different layers below it, so it can't be mended in place. Instead such an image gets one thin
//! layer more, right above, that holds these directories alone, as the layers below have them.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, Timespec, Timestamps};

use super::layers::LayerRecord;
use super::session::Session;
use super::{Store, StoreError};
use crate::digest::Digest;

const OPAQUE: &str = "trusted.overlay.opaque";

impl Store {
    /// What overlayfs stacks for these layers, the bottom one first: the layers, and above some of
    /// them the directories they implied. `None` names a layer that isn't there.
    pub(crate) fn stack(&self, diff_ids: &[Digest]) -> Result<Vec<Result<Digest, Digest>>, StoreError> {
        let mut stack = Vec::with_capacity(diff_ids.len());
        for (i, &layer) in diff_ids.iter().enumerate() {
            let Some(record) = self.layer_record(layer)? else {
                stack.push(Err(layer));
                continue;
            };
            stack.push(Ok(layer));
            let mended = mended_id(&diff_ids[..=i]);
            if i > 0 && !record.implied.is_empty() && self.layer_path(mended).exists() {
                stack.push(Ok(mended));
            }
        }
        Ok(stack)
    }

    /// Where the layers below say how the directory at `path` is, if they do.
    fn described_below(&self, below: &[Digest], path: &Path) -> Result<Option<PathBuf>, StoreError> {
        for &layer in below.iter().rev() {
            let tree = self.tree(layer);
            match look(&tree, path) {
                Look::Here => {
                    let record = self.layer_record(layer)?;
                    let implied = record
                        .is_some_and(|record| record.implied.iter().any(|known| Path::new(known) == path));
                    if !implied {
                        return Ok(Some(tree.join(path)));
                    }
                    if is_opaque(&tree.join(path)) {
                        return Ok(None);
                    }
                }
                Look::Below => {}
                Look::Nowhere => return Ok(None),
            }
        }
        Ok(None)
    }
}

impl Session<'_> {
    /// Makes the thin layers that an image of these layers needs.
    pub(crate) fn mend_implied(&self, diff_ids: &[Digest]) -> Result<(), StoreError> {
        for (i, &layer) in diff_ids.iter().enumerate().skip(1) {
            let Some(record) = self.store.layer_record(layer)? else { continue };
            let wrong = self.wrong_below(&diff_ids[..i], layer, &record)?;
            let id = mended_id(&diff_ids[..=i]);
            if !wrong.is_empty() && !self.has_layer(id)? {
                self.make_mended(id, &self.store.tree(layer), &wrong)?;
            }
        }
        Ok(())
    }

    /// Implied directories that are another way below, with the place where they are right.
    fn wrong_below(
        &self,
        below: &[Digest],
        layer: Digest,
        record: &LayerRecord,
    ) -> Result<Vec<(PathBuf, PathBuf)>, StoreError> {
        let mut wrong = Vec::new();
        for path in record.implied.iter().map(PathBuf::from) {
            let here = self.store.tree(layer).join(&path);
            let Some(right) = self.store.described_below(below, &path)? else { continue };
            let same = |a: Metadata, b: Metadata| {
                (a.mode(), a.uid(), a.gid(), a.mtime(), a.mtime_nsec())
                    == (b.mode(), b.uid(), b.gid(), b.mtime(), b.mtime_nsec())
            };
            let both = fs::symlink_metadata(&here).and_then(|here| Ok((here, fs::symlink_metadata(&right)?)));
            let (here, there) = both.map_err(StoreError::io("reading", &right))?;
            if !same(here, there) {
                wrong.push((path, right));
            }
        }
        Ok(wrong)
    }

    fn make_mended(&self, id: Digest, layer: &Path, wrong: &[(PathBuf, PathBuf)]) -> Result<(), StoreError> {
        let made = self.fresh_directory()?;
        let tree = made.join("fs");
        fs::create_dir(&tree).map_err(StoreError::io("making", &tree))?;
        let paths: BTreeSet<&Path> = wrong.iter().flat_map(|(path, _)| path.ancestors()).collect();
        for path in paths.iter().filter(|path| **path != Path::new("")) {
            fs::create_dir(tree.join(path)).map_err(StoreError::io("making", &tree))?;
        }
        // Deepest first: what is made inside changes a directory's time.
        for path in paths.iter().rev() {
            let right = wrong.iter().find(|(wrong, _)| wrong == path).map(|(_, right)| right.clone());
            let right = right.unwrap_or_else(|| layer.join(path));
            copy_attributes(&right, &tree.join(path))
                .map_err(StoreError::io("copying attributes of", &right))?;
        }
        let entries = paths.len() as u64;
        self.keep_layer(id, &made, &LayerRecord { bytes: 0, entries, implied: Vec::new() })
    }
}

/// The name of the thin layer above the last of `chain`: it depends on all that is below.
fn mended_id(chain: &[Digest]) -> Digest {
    let text = chain.iter().fold("implied".to_owned(), |text, id| format!("{text} {id}"));
    Digest::of(text.as_bytes())
}

enum Look {
    /// The layer has a directory there.
    Here,
    /// The layer says nothing; the one below decides.
    Below,
    /// There is no directory to be seen from above.
    Nowhere,
}

fn look(tree: &Path, path: &Path) -> Look {
    let mut at = tree.to_owned();
    let mut hidden = false;
    for part in path.components() {
        hidden |= is_opaque(&at);
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(meta) if meta.is_dir() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && !hidden => return Look::Below,
            // Something else, a whiteout among it, or opaque above: nothing below is to be seen.
            _ => return Look::Nowhere,
        }
    }
    Look::Here
}

fn is_opaque(path: &Path) -> bool {
    let mut value = [0; 1];
    matches!(rustix::fs::lgetxattr(path, OPAQUE, &mut value[..]), Ok(1)) && value == *b"y"
}

fn copy_attributes(from: &Path, to: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(from)?;
    debug_assert!(!meta.file_type().is_char_device(), "only directories are copied");
    std::os::unix::fs::lchown(to, Some(meta.uid()), Some(meta.gid()))?;
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(from, &mut names[..])?;
    for name in names[..length]
        .split(|&b| b == 0)
        .filter(|name| !name.is_empty() && !name.starts_with(b"trusted.overlay."))
    {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(from, name, &mut value[..])?;
        rustix::fs::lsetxattr(to, name, &value[..length], rustix::fs::XattrFlags::empty())?;
    }
    rustix::fs::chmod(to, Mode::from_raw_mode(meta.mode()))?;
    let time = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(rustix::fs::CWD, to, &times, rustix::fs::AtFlags::empty())?)
}
