//! Directories that a layer's entries are in, but that no entry of it describes.
//!
//! Unpacking had to make them, and overlayfs takes a directory's owner, mode and times from the
//! topmost layer that has it: the one below would be masked. A layer is shared by images with
//! different layers below it, so it can't be mended in place. Instead such an image gets one thin
//! layer more, right above, that holds these directories alone, as the layers below have them.

use std::collections::{BTreeSet, HashMap, HashSet};
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
}

impl Session<'_> {
    /// Makes the thin layers that an image of these layers needs.
    pub(crate) fn mend_implied(&self, diff_ids: &[Digest]) -> Result<(), StoreError> {
        let mut below: Vec<Seen> = Vec::with_capacity(diff_ids.len());
        for (i, &layer) in diff_ids.iter().enumerate() {
            let Some(record) = self.store.layer_record(layer)? else { continue };
            let tree = self.store.tree(layer);
            let wrong = wrong_below(&mut below, &tree, &record)?;
            let id = mended_id(&diff_ids[..=i]);
            if !wrong.is_empty() && !self.has_layer(id)? {
                self.make_mended(id, &tree, &wrong)?;
            }
            below.push(Seen::new(tree, record));
        }
        Ok(())
    }

    fn make_mended(&self, id: Digest, layer: &Path, wrong: &[(PathBuf, PathBuf)]) -> Result<(), StoreError> {
        let made = self.fresh_directory()?;
        let tree = made.join("fs");
        fs::create_dir(&tree).map_err(StoreError::io("making", &tree))?;
        let paths: BTreeSet<&Path> = wrong.iter().flat_map(|(path, _)| path.ancestors()).collect();
        let right: HashMap<&Path, &Path> = wrong.iter().map(|(path, right)| (&**path, &**right)).collect();
        for path in paths.iter().filter(|path| **path != Path::new("")) {
            fs::create_dir(tree.join(path)).map_err(StoreError::io("making", &tree))?;
        }
        // Deepest first: what is made inside changes a directory's time.
        for path in paths.iter().rev() {
            let right = right.get(path).map_or_else(|| layer.join(path), |right| right.to_path_buf());
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

/// A layer below, and what was seen of it so far: many paths lead through the same directories.
struct Seen {
    tree: PathBuf,
    implied: HashSet<PathBuf>,
    looked: HashMap<PathBuf, Look>,
}

#[derive(Clone, Copy)]
enum Look {
    /// The layer has a directory there; `hides`: it, or one above it, hides what lower layers have inside.
    Here { hides: bool },
    /// The layer says nothing; the one below decides.
    Below,
    /// There is no directory to be seen from above.
    Nowhere,
}

impl Seen {
    fn new(tree: PathBuf, record: LayerRecord) -> Self {
        let implied = record.implied.into_iter().map(PathBuf::from).collect();
        Self { tree, implied, looked: HashMap::new() }
    }

    fn look(&mut self, path: &Path) -> Look {
        if let Some(known) = self.looked.get(path) {
            return *known;
        }
        let look = match path.parent().map(|parent| self.look(parent)) {
            None => self.look_inside(path, false),
            Some(Look::Here { hides }) => self.look_inside(path, hides),
            Some(elsewhere) => elsewhere,
        };
        self.looked.insert(path.to_owned(), look);
        look
    }

    fn look_inside(&self, path: &Path, hidden: bool) -> Look {
        let at = self.tree.join(path);
        match fs::symlink_metadata(&at) {
            Ok(meta) if meta.is_dir() => Look::Here { hides: hidden || is_opaque(&at) },
            Err(error) if error.kind() == io::ErrorKind::NotFound && !hidden => Look::Below,
            // Something else, a whiteout among it, or hidden above: nothing below is to be seen.
            _ => Look::Nowhere,
        }
    }
}

/// Where the layers below say how the directory at `path` is, if they do.
fn described(below: &mut [Seen], path: &Path) -> Option<PathBuf> {
    for layer in below.iter_mut().rev() {
        match layer.look(path) {
            Look::Here { .. } if !layer.implied.contains(path) => return Some(layer.tree.join(path)),
            Look::Here { hides: false } | Look::Below => {}
            Look::Here { hides: true } | Look::Nowhere => return None,
        }
    }
    None
}

/// Implied directories of the layer at `tree` that are another way below, with the place where they are right.
fn wrong_below(
    below: &mut [Seen],
    tree: &Path,
    record: &LayerRecord,
) -> Result<Vec<(PathBuf, PathBuf)>, StoreError> {
    let mut wrong = Vec::new();
    for path in record.implied.iter().map(PathBuf::from) {
        let Some(right) = described(below, &path) else { continue };
        let same = |a: Metadata, b: Metadata| {
            (a.mode(), a.uid(), a.gid(), a.mtime(), a.mtime_nsec())
                == (b.mode(), b.uid(), b.gid(), b.mtime(), b.mtime_nsec())
        };
        let both =
            fs::symlink_metadata(tree.join(&path)).and_then(|here| Ok((here, fs::symlink_metadata(&right)?)));
        let (here, there) = both.map_err(StoreError::io("reading", &right))?;
        if !same(here, there) {
            wrong.push((path, right));
        }
    }
    Ok(wrong)
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
