//! Snapshots: what a step starts from and leaves, as a chain of layers in the store.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use super::mounted::Mounted;
use super::runner::{Overlay, Root};
use super::{StepError, Work};
use crate::build::context::Context;
use crate::build::graph::Tree;
use crate::digest::Digest;
use crate::layer::pack;
use crate::store::{RegisterError, StoreError};

/// A file tree, the bottom layer first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) chain: Vec<Digest>,
    /// The layer of the step itself, if it changed a file.
    pub(super) layer: Option<Digest>,
    /// Seconds since 1970.
    pub(super) created: i64,
    pub(super) cached: bool,
}

/// A root that a step may change: dropped, it is thrown away, unless it was kept.
#[derive(Debug)]
pub(super) struct Writable {
    pub(super) root: Root,
    /// What was written.
    pub(super) upper: PathBuf,
    /// The layers below, the topmost first.
    pub(super) lower: Vec<PathBuf>,
}

/// A tree that can be read from.
pub(super) enum Opened<'a> {
    Context(&'a Context<'a>),
    Mounted(Mounted),
}

impl Work<'_> {
    /// The layers of a tree, the bottom one first. A context has none.
    pub(super) fn chain(&self, tree: &Tree, below: &[(usize, Snapshot)]) -> Result<Vec<Digest>, StepError> {
        match tree {
            Tree::Empty | Tree::Context(_) => Ok(Vec::new()),
            Tree::Image(id) => {
                let missing = || StepError::Refused(format!("image {id} is not in the store any more"));
                let image = self.build.store.image_by_id(*id)?.ok_or_else(missing)?;
                let layers = image.config.rootfs().diff_ids().iter().map(|text| text.parse::<Digest>());
                let layers: Vec<Digest> = layers
                    .collect::<Result<_, _>>()
                    .map_err(|error| StepError::Base(RegisterError::DiffId(error)))?;
                for layer in &layers {
                    self.session.has_layer(*layer)?;
                }
                Ok(layers)
            }
            Tree::Step(id) => {
                let known = below.iter().find(|(at, _)| *at == id.0);
                Ok(known.map(|(_, snapshot)| snapshot.chain.clone()).unwrap_or_default())
            }
        }
    }

    /// What overlayfs stacks for a chain, the topmost first.
    fn lower(&self, chain: &[Digest]) -> Result<Vec<PathBuf>, StepError> {
        self.session.mend_implied(chain)?;
        let mut lower = Vec::new();
        for layer in self.build.store.stack(chain)?.into_iter().rev() {
            let layer = layer.map_err(|layer| StepError::Base(RegisterError::LayerMissing(layer)))?;
            lower.push(self.build.store.tree(layer));
        }
        Ok(lower)
    }

    /// A fresh writable root above a chain.
    pub(super) fn writable(&self, chain: &[Digest]) -> Result<Writable, StepError> {
        let lower = self.lower(chain)?;
        let folder = self.session.fresh_directory()?;
        let (upper, work) = (folder.join("upper"), folder.join("work"));
        for path in [&upper, &work] {
            fs::create_dir(path).map_err(StoreError::io("making", path))?;
        }
        match lower.first() {
            Some(top) => like(top, &upper).map_err(StepError::io("making", &upper))?,
            None => {
                let mode = fs::Permissions::from_mode(0o755);
                fs::set_permissions(&upper, mode).map_err(StepError::io("making", &upper))?;
            }
        }
        let root = match lower.is_empty() {
            true => Root::Directory(upper.clone()),
            false => Root::Overlay(Overlay { lower: lower.clone(), upper: upper.clone(), work }),
        };
        Ok(Writable { root, upper, lower })
    }

    pub(super) fn mount(&self, root: &Root) -> Result<Mounted, StepError> {
        match root {
            Root::Directory(path) => Mounted::directory(path),
            Root::Overlay(overlay) => {
                let mounted = self.build.runner.mount(overlay);
                Ok(Mounted::new(mounted.map_err(StepError::io("mounting", &overlay.upper))?))
            }
        }
    }

    /// A tree to read from.
    pub(super) fn open(&self, tree: &Tree, below: &[(usize, Snapshot)]) -> Result<Opened<'_>, StepError> {
        if let Tree::Context(name) = tree {
            let missing = || StepError::Refused(format!("there is no build context {name:?}"));
            return Ok(Opened::Context(self.contexts.get(&name[..]).ok_or_else(missing)?));
        }
        let root = self.writable(&self.chain(tree, below)?)?.root;
        self.mount(&root).map(Opened::Mounted)
    }

    /// Keeps what was written as a layer; nothing when nothing was.
    pub(super) fn keep(&self, written: &Writable) -> Result<Option<Digest>, StepError> {
        tidy(written, Path::new("")).map_err(StepError::io("reading", &written.upper))?;
        if !written.lower.is_empty()
            && is_untouched(written).map_err(StepError::io("reading", &written.upper))?
        {
            return Ok(None);
        }
        let mut writer = self.session.blob_writer()?;
        let packed = pack(&written.upper, &mut writer, self.build.options.epoch)?;
        self.session.keep(&writer.finish())?;
        if !self.session.has_layer(packed.diff_id)? {
            // Unpacked from its blob, it is the same tree as wherever the image is pulled.
            self.session.unpack(packed.diff_id, self.build.store.blob(packed.diff_id)?, &())?;
        }
        Ok(Some(packed.diff_id))
    }
}

/// Gives a layer's root the attributes of the one below, which it hides.
fn like(below: &Path, root: &Path) -> std::io::Result<()> {
    let meta = fs::symlink_metadata(below)?;
    lchown(root, Some(meta.uid()), Some(meta.gid()))?;
    fs::set_permissions(root, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    fs::File::open(root)?.set_modified(meta.modified()?)
}

/// Takes out of an upper directory what overlayfs put there without meaning: the mark "hides what is below" where
/// nothing is below, and directories copied up that nothing was changed in.
fn tidy(written: &Writable, path: &Path) -> std::io::Result<()> {
    let here = written.upper.join(path);
    for entry in fs::read_dir(&here)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let path = path.join(entry.file_name());
        tidy(written, &path)?;
        let full = written.upper.join(&path);
        let below = written
            .lower
            .iter()
            .map(|layer| layer.join(&path))
            .find(|path| fs::symlink_metadata(path).is_ok());
        let opaque = rustix::fs::lgetxattr(&full, OPAQUE, &mut [0_u8; 4][..]).is_ok_and(|length| length > 0);
        match below {
            None if opaque => rustix::fs::lremovexattr(&full, OPAQUE)?,
            Some(below) if !opaque && same(&below, &full)? && fs::read_dir(&full)?.next().is_none() => {
                fs::remove_dir(&full)?;
            }
            _ => {}
        }
    }
    Ok(())
}

const OPAQUE: &str = "trusted.overlay.opaque";

/// Whether two directories have the same attributes, times included.
fn same(below: &Path, here: &Path) -> std::io::Result<bool> {
    let (a, b) = (fs::symlink_metadata(below)?, fs::symlink_metadata(here)?);
    Ok(a.is_dir() && (a.mode(), a.uid(), a.gid(), a.mtime()) == (b.mode(), b.uid(), b.gid(), b.mtime()))
}

fn is_untouched(written: &Writable) -> std::io::Result<bool> {
    let Some(top) = written.lower.first() else { return Ok(false) };
    if fs::read_dir(&written.upper)?.next().is_some() {
        return Ok(false);
    }
    let (a, b) = (fs::symlink_metadata(top)?, fs::symlink_metadata(&written.upper)?);
    Ok((a.mode(), a.uid(), a.gid()) == (b.mode(), b.uid(), b.gid()))
}
