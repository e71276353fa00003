//! Snapshots: what a step starts from and leaves, as a chain of layers in the store.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};

use super::mounted::{self, Mounted};
use super::runner::{Overlay, Root};
use super::{StepError, Work};
use crate::builder::context::Context;
use crate::builder::graph::Tree;
use crate::cancel::Cancellable;
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
    /// What the step is found by.
    pub(super) keys: Vec<Digest>,
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
        self.bring(chain)?;
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
        let hiding = tidy(written, Path::new("")).map_err(StepError::io("reading", &written.upper))?;
        if let Some(path) = hiding {
            let text = format!("/{}: names that begin with .wh. hide files in an image", path.display());
            return Err(StepError::Refused(text));
        }
        if !written.lower.is_empty()
            && is_untouched(written).map_err(StepError::io("reading", &written.upper))?
        {
            return Ok(None);
        }
        self.pack(&written.upper).map(Some)
    }

    /// Makes a layer of an upper directory, and puts it in place.
    fn pack(&self, upper: &Path) -> Result<Digest, StepError> {
        let mut writer = self.session.blob_writer()?;
        let packed = pack(upper, Cancellable::new(&mut writer, self), self.build.options.epoch);
        let packed = self.unless_cancelled(packed)?;
        self.session.keep(&writer.finish())?;
        if !self.session.has_layer(packed.diff_id)? {
            // Unpacked from its blob, it is the same tree as wherever the image is pulled.
            let blob = self.build.store.blob(packed.diff_id)?;
            self.unless_cancelled(self.session.unpack(packed.diff_id, blob, self))?;
        }
        Ok(packed.diff_id)
    }

    /// What failed because the build was cancelled says so.
    pub(super) fn unless_cancelled<T, E: Into<StepError>>(
        &self,
        result: Result<T, E>,
    ) -> Result<T, StepError> {
        result.map_err(|error| if self.is_cancelled() { StepError::Cancelled } else { error.into() })
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
/// nothing is below, and directories copied up that nothing was changed in. Says what would be a whiteout to whoever
/// unpacks the layer, though it is none.
fn tidy(written: &Writable, path: &Path) -> std::io::Result<Option<PathBuf>> {
    let here = written.upper.join(path);
    let (before, mut removed, mut hiding) = (fs::symlink_metadata(&here)?.modified()?, false, None);
    for entry in fs::read_dir(&here)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".wh.") {
            hiding = Some(path.join(entry.file_name()));
        }
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let path = path.join(entry.file_name());
        hiding = tidy(written, &path)?.or(hiding);
        let full = written.upper.join(&path);
        let below = below(&written.lower, &path);
        let opaque = is_opaque(&full);
        match below {
            None if opaque => rustix::fs::lremovexattr(&full, OPAQUE)?,
            Some(below) if !opaque && same(&below, &full)? && fs::read_dir(&full)?.next().is_none() => {
                fs::remove_dir(&full)?;
                removed = true;
            }
            _ => {}
        }
    }
    // Else its own time would tell of a change that nobody made.
    if removed {
        fs::File::open(&here)?.set_modified(before)?;
    }
    Ok(hiding)
}

const OPAQUE: &str = "trusted.overlay.opaque";

fn is_opaque(folder: &Path) -> bool {
    rustix::fs::lgetxattr(folder, OPAQUE, &mut [0_u8; 4][..]).is_ok_and(|length| length > 0)
}

/// Where what the layers, the topmost first, show at `path` lies, if they show anything.
fn below(lower: &[PathBuf], path: &Path) -> Option<PathBuf> {
    for layer in lower {
        let (mut at, mut hidden, mut parts) = (layer.clone(), false, path.iter().peekable());
        while let Some(part) = parts.next() {
            at.push(part);
            match fs::symlink_metadata(&at) {
                Err(_) => break,
                Ok(meta) if parts.peek().is_none() => return (!is_whiteout(&meta)).then_some(at),
                Ok(meta) if !meta.is_dir() => return None,
                Ok(_) => hidden |= is_opaque(&at),
            }
        }
        if hidden {
            return None;
        }
    }
    None
}

/// What overlayfs takes for "not there".
fn is_whiteout(meta: &fs::Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

/// Whether two directories have the same attributes, times and extended ones included.
fn same(below: &Path, here: &Path) -> std::io::Result<bool> {
    let (a, b) = (fs::symlink_metadata(below)?, fs::symlink_metadata(here)?);
    if !a.is_dir() || (a.mode(), a.uid(), a.gid(), a.mtime()) != (b.mode(), b.uid(), b.gid(), b.mtime()) {
        return Ok(false);
    }
    let xattrs = |folder| Ok::<_, std::io::Error>(mounted::xattrs(&fs::File::open(folder)?.into())?);
    Ok(xattrs(below)? == xattrs(here)?)
}

fn is_untouched(written: &Writable) -> std::io::Result<bool> {
    let Some(top) = written.lower.first() else { return Ok(false) };
    if fs::read_dir(&written.upper)?.next().is_some() {
        return Ok(false);
    }
    let (a, b) = (fs::symlink_metadata(top)?, fs::symlink_metadata(&written.upper)?);
    Ok((a.mode(), a.uid(), a.gid()) == (b.mode(), b.uid(), b.gid()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::SystemTime;

    use super::{OPAQUE, Root, Writable, tidy};

    const TIME: SystemTime = SystemTime::UNIX_EPOCH;

    fn folders(root: &Path, path: &str) {
        fs::create_dir_all(root.join(path)).unwrap();
        for folder in Path::new(path).ancestors() {
            fs::File::open(root.join(folder)).unwrap().set_modified(TIME).unwrap();
        }
    }

    #[test]
    fn folders_made_anew_stay_though_a_hidden_layer_has_the_same() {
        let temporary = tempfile::tempdir().unwrap();
        let [upper, opaque, bottom] = ["upper", "opaque", "bottom"].map(|name| temporary.path().join(name));
        folders(&upper, "a/b");
        folders(&bottom, "a/b");
        folders(&opaque, "a");
        let flags = rustix::fs::XattrFlags::empty();
        if rustix::fs::setxattr(opaque.join("a"), OPAQUE, b"y", flags).is_err() {
            eprintln!("folders_made_anew: skipped, because it needs root");
            return;
        }
        let written = Writable {
            root: Root::Directory(upper.clone()),
            upper: upper.clone(),
            lower: vec![opaque, bottom],
        };
        tidy(&written, Path::new("")).unwrap();
        assert!(upper.join("a/b").exists());
    }

    #[test]
    fn names_that_would_hide_others_are_told() {
        let upper = tempfile::tempdir().unwrap();
        folders(upper.path(), "a/b");
        fs::write(upper.path().join("a/b/.wh.x"), "").unwrap();
        let root = Root::Directory(upper.path().to_owned());
        let written = Writable { root, upper: upper.path().to_owned(), lower: Vec::new() };
        assert_eq!(tidy(&written, Path::new("")).unwrap().unwrap(), Path::new("a/b/.wh.x"));
    }

    #[test]
    fn folders_copied_up_for_nothing_go_with_those_above_them() {
        let temporary = tempfile::tempdir().unwrap();
        let [lower, upper] = ["lower", "upper"].map(|name| temporary.path().join(name));
        for root in [&lower, &upper] {
            folders(root, "a/b/c");
            folders(root, "noted");
        }
        let flags = rustix::fs::XattrFlags::empty();
        let kept = rustix::fs::setxattr(upper.join("noted"), "user.note", b"new", flags).is_ok();
        let written =
            Writable { root: Root::Directory(upper.clone()), upper: upper.clone(), lower: vec![lower] };
        tidy(&written, Path::new("")).unwrap();
        assert_eq!(fs::read_dir(&upper).unwrap().count(), usize::from(kept));
        assert_eq!(fs::metadata(&upper).unwrap().modified().unwrap(), TIME);
    }
}
