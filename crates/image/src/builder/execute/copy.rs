//! COPY and ADD.
//!
//! Where files land is BuildKit's rule: links in the destination are followed as the image has them; the content of a
//! folder is copied, not the folder; a destination that ends in a slash, or is a folder, takes files by their names;
//! folders made on the way have mode 0755 and the owner of `--chown`.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::archive;
use super::fetch::{self, Fetched};
use super::mode::Change;
use super::mounted::Mounted;
use super::snapshot::Opened;
use super::step::Below;
use super::target::{Attributes, Target};
use super::tree::{self, Files, Kind, Match, Node, Resolved, UntilCancelled};
use super::{StepError, Work, owner};
use crate::builder::Ignore;
use crate::builder::cache::Key;
use crate::builder::graph::{Action, Copy, Source, Step, Tree};
use crate::cancel::Cancellable;
use crate::digest::Digest;
use crate::progress::Progress;

/// What a step reads: known before it is decided whether it has to be done.
#[derive(Default)]
pub(super) struct Sources<'a> {
    /// One for each source of the step.
    prepared: Vec<Prepared<'a>>,
    exclude: Ignore,
}

enum Prepared<'a> {
    Files(Lazy<'a>),
    Inline,
    Http(Fetched),
    Git(Mounted),
}

/// A tree that is opened when it is first read: one that an earlier build's layers answer for may not be here.
struct Lazy<'a> {
    work: &'a Work<'a>,
    from: &'a Tree,
    below: Below<'a>,
    opened: OnceCell<Opened<'a>>,
}

impl<'a> Lazy<'a> {
    fn new(work: &'a Work<'a>, from: &'a Tree, below: Below<'a>) -> Self {
        Self { work, from, below, opened: OnceCell::new() }
    }

    fn get(&self) -> Result<&Opened<'a>, StepError> {
        match self.opened.get() {
            Some(opened) => Ok(opened),
            None => {
                let opened = self.work.open(self.from, self.below)?;
                Ok(self.opened.get_or_init(|| opened))
            }
        }
    }

    fn files(&self) -> Result<UntilCancelled<'_>, StepError> {
        Ok(UntilCancelled { files: self.get()?.files(), progress: self.work })
    }
}

impl<'a> Sources<'a> {
    pub(super) fn prepare(work: &'a Work<'a>, step: &'a Step, below: Below<'a>) -> Result<Self, StepError> {
        let Action::Copy(copy) = &step.action else { return Ok(Self::default()) };
        let exclude = Ignore::parse(&copy.exclude.join("\n"))
            .map_err(|error| StepError::Refused(format!("--exclude: {error}")))?;
        let prepare = |source: &'a Source| {
            Ok(match source {
                Source::Files { from, .. } => Prepared::Files(Lazy::new(work, from, below)),
                Source::Inline { .. } => Prepared::Inline,
                Source::Http { url, checksum, .. } => Prepared::Http(fetch::http(work, url, *checksum)?),
                Source::Git { .. } => Prepared::Git(fetch::git(work, source)?),
            })
        };
        Ok(Self { prepared: copy.sources.iter().map(prepare).collect::<Result<_, StepError>>()?, exclude })
    }

    /// Whether `--chown` needs no look into the image.
    pub(super) fn owner_is_plain(&self, copy: &Copy) -> bool {
        copy.owner.as_deref().is_none_or(|text| text.chars().all(|c| c.is_ascii_digit() || c == ':'))
    }

    /// Adds all that is read to the step's key.
    pub(super) fn add_to(
        &self,
        work: &Work<'_>,
        key: &mut Key,
        copy: &Copy,
        below: Below<'_>,
        thorough: bool,
    ) -> Result<(), StepError> {
        for (source, prepared) in copy.sources.iter().zip(&self.prepared) {
            match (source, prepared) {
                (Source::Files { from, .. }, Prepared::Files(_))
                    if !thorough && !matches!(from, Tree::Context(_)) =>
                {
                    work.chain(from, below)?.iter().for_each(|layer| key.add(layer.to_string().as_bytes()));
                }
                (Source::Files { path, .. }, Prepared::Files(opened)) => {
                    self.add_files(key, copy, &opened.files()?, path)?;
                }
                (_, Prepared::Http(fetched)) => key.add(fetched.digest.to_string().as_bytes()),
                (_, Prepared::Git(checkout)) => self.add_files(key, copy, checkout, ".")?,
                _ => {}
            }
        }
        Ok(())
    }

    fn add_files(&self, key: &mut Key, copy: &Copy, files: &dyn Files, path: &str) -> Result<(), StepError> {
        for found in find(files, path)? {
            files.prefetch_match(&found)?;
            let spelled = if copy.parents { found.spelled.as_os_str() } else { name(&found.spelled) };
            // The name of a folder whose content is copied plays no part.
            if copy.parents || found.node.kind != Kind::Directory {
                key.add(spelled.as_encoded_bytes());
            }
            key.add_tree(files, &found.path, &found.node, &self.exclude, Path::new(""))?;
        }
        Ok(())
    }
}

impl dyn Files + '_ {
    fn prefetch_match(&self, found: &Match) -> Result<(), StepError> {
        if found.node.kind == Kind::Directory { self.prefetch(&found.path) } else { Ok(()) }
    }
}

/// What a source's pattern matches; a plain name must be there.
fn find(files: &dyn Files, pattern: &str) -> Result<Vec<Match>, StepError> {
    let found = tree::find(files, pattern)?;
    if found.is_empty() && !super::wildcard::is_pattern(pattern) {
        return Err(StepError::Refused(format!(
            "{pattern:?} is not there: it does not exist, or .dockerignore leaves it out"
        )));
    }
    Ok(found)
}

fn name(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}

/// Performs the step; the layer it made.
pub(super) fn copy(
    work: &Work<'_>,
    copy: &Copy,
    base: &[Digest],
    sources: &Sources<'_>,
) -> Result<Option<Digest>, StepError> {
    let links = copy.link && sources.owner_is_plain(copy);
    let written = work.writable(if links { &[] } else { base })?;
    let target = Target::new(work.mount(&written.root)?);
    let chown = copy.owner.as_deref().map(|text| owner::resolve(&target.tree, text)).transpose()?;
    let bad =
        || StepError::Refused(format!("--chmod={} is not a mode", copy.mode.as_deref().unwrap_or_default()));
    let chmod = match &copy.mode {
        Some(text) => Some(Change::parse(text).ok_or_else(bad)?),
        None => None,
    };
    let mut copier = Copier {
        progress: work,
        target,
        copy,
        chown,
        chmod,
        exclude: &sources.exclude,
        links: HashMap::new(),
        parents: Vec::new(),
    };
    for (source, prepared) in copy.sources.iter().zip(&sources.prepared) {
        work.unless_cancelled(copier.source(source, prepared))?;
    }
    for (folder, time) in copier.parents.iter().rev() {
        copier.target.set_time(folder, *time)?;
    }
    drop(copier);
    work.keep(&written)
}

/// Copies what was found into a folder of this host: a folder's content, or a file as `file`.
pub(super) fn into(
    work: &Work<'_>,
    files: &dyn Files,
    found: &Resolved,
    folder: &Path,
) -> Result<(), StepError> {
    let copy = Copy {
        sources: Vec::new(),
        destination: "/".to_owned(),
        owner: None,
        mode: None,
        link: false,
        parents: false,
        exclude: Vec::new(),
    };
    let (target, exclude) = (Target::new(Mounted::directory(folder)?), Ignore::default());
    let files = &UntilCancelled { files, progress: work };
    let mut copier = Copier {
        progress: work,
        target,
        copy: &copy,
        chown: None,
        chmod: None,
        exclude: &exclude,
        links: HashMap::new(),
        parents: Vec::new(),
    };
    match &found.node {
        Some(node) if node.kind == Kind::Directory => {
            files.prefetch(&found.path)?;
            copier.children(files, &found.path, Path::new(""), Path::new(""))
        }
        Some(node) => copier.node(files, &found.path, node, Path::new("file"), Path::new("file")),
        None => Ok(()),
    }
}

struct Copier<'a> {
    progress: &'a dyn Progress,
    target: Target,
    copy: &'a Copy,
    chown: Option<(u32, u32)>,
    chmod: Option<Change>,
    exclude: &'a Ignore,
    /// Where the first name of a file with several was copied to.
    links: HashMap<(u64, u64), PathBuf>,
    /// Folders that `--parents` made, with their times: what comes into them later changes those.
    parents: Vec<(PathBuf, (i64, u32))>,
}

impl Copier<'_> {
    fn source(&mut self, source: &Source, prepared: &Prepared<'_>) -> Result<(), StepError> {
        match (source, prepared) {
            (Source::Files { path, unpack, .. }, Prepared::Files(opened)) => {
                let files = &opened.files()?;
                find(files, path)?.iter().try_for_each(|found| self.matched(files, path, found, *unpack))
            }
            (Source::Inline { name, content }, _) => {
                let attributes = self.changed(Attributes { mode: 0o644, ..Attributes::default() }, false);
                let path = self.place(Path::new(name))?;
                self.target.file(&path, &attributes, content.as_bytes())
            }
            (Source::Http { unpack, .. }, Prepared::Http(fetched)) => self.fetched(fetched, *unpack),
            (Source::Git { .. }, Prepared::Git(checkout)) => {
                let checkout = &UntilCancelled { files: checkout, progress: self.progress };
                let whole = find(checkout, ".")?;
                // Whoever runs the build checked it out; in the image it is root's.
                self.chown.get_or_insert((0, 0));
                whole.iter().try_for_each(|found| self.matched(checkout, ".", found, false))
            }
            _ => Ok(()),
        }
    }

    fn fetched(&mut self, fetched: &Fetched, unpack: bool) -> Result<(), StepError> {
        let progress = self.progress;
        let open = || {
            let file = std::fs::File::open(&fetched.path).map_err(StepError::io("opening", &fetched.path));
            file.map(|file| Cancellable::new(file, progress))
        };
        if unpack && archive::is_archive(open()?) {
            let folder = self.target.folders(Path::new(&self.copy.destination), self.owner())?;
            return archive::unpack(&self.target, &folder, open()?, self.chown);
        }
        if fetched.name.is_empty() && self.copy.destination.ends_with('/') {
            return Err(StepError::Refused("the address names no file, so the destination must".to_owned()));
        }
        let attributes = Attributes { mode: 0o600, mtime: fetched.modified, ..Attributes::default() };
        let path = self.place(Path::new(&fetched.name))?;
        self.target.file(&path, &self.changed(attributes, false), open()?)
    }

    fn matched(
        &mut self,
        files: &dyn Files,
        pattern: &str,
        found: &Match,
        unpack: bool,
    ) -> Result<(), StepError> {
        // As in BuildKit, each source is copied by itself: names of one file are kept together within a folder.
        self.links.clear();
        if self.copy.parents {
            return self.with_parents(files, pattern, found);
        }
        if found.node.kind == Kind::Directory {
            files.prefetch(&found.path)?;
            let folder = self.target.folders(Path::new(&self.copy.destination), self.owner())?;
            return self.children(files, &found.path, &folder, Path::new(""));
        }
        if unpack && found.node.kind == Kind::File && archive::is_archive(files.open(&found.path)?) {
            let folder = self.target.folders(Path::new(&self.copy.destination), self.owner())?;
            return archive::unpack(&self.target, &folder, files.open(&found.path)?, self.chown);
        }
        if self.exclude.is_ignored(&name(&found.spelled).to_string_lossy()) {
            return Ok(());
        }
        let path = self.place(Path::new(name(&found.spelled)))?;
        self.node(files, &found.path, &found.node, &path, Path::new(name(&found.spelled)))
    }

    /// `--parents`: below the destination, the source's own folders from `/./` on.
    fn with_parents(&mut self, files: &dyn Files, pattern: &str, found: &Match) -> Result<(), StepError> {
        let skipped = pattern.find("/./").map_or(0, |at| tree::parts(Path::new(&pattern[..at])).len());
        let kept: PathBuf = found.spelled.iter().skip(skipped).collect();
        let mut from: PathBuf = found.spelled.iter().take(skipped).collect();
        let mut to = self.target.folders(Path::new(&self.copy.destination), self.owner())?;
        for part in kept.parent().unwrap_or(Path::new("")) {
            from.push(part);
            to.push(part);
            if self.target.directory(&to)? {
                let node = tree::resolve(files, &from, true)?.node;
                if let Some(node) = node {
                    self.target.set(&to, &self.changed(Attributes::of(&node), true))?;
                    self.parents.push((to.clone(), node.mtime));
                }
            }
        }
        if kept.as_os_str().is_empty() {
            return self.children(files, &found.path, &to, Path::new(""));
        }
        files.prefetch_match(found)?;
        self.node(files, &found.path, &found.node, &to.join(name(&kept)), &kept)
    }

    /// Where a single file lands.
    fn place(&self, name: &Path) -> Result<PathBuf, StepError> {
        let destination = Path::new(&self.copy.destination);
        if self.copy.destination.ends_with('/') {
            return Ok(self.target.folders(destination, self.owner())?.join(name));
        }
        let found = self.target.resolve(destination)?;
        if found.node.is_some_and(|node| node.kind == Kind::Directory) {
            return Ok(found.path.join(name));
        }
        if let Some(parent) = found.path.parent() {
            self.target.folders(parent, self.owner())?;
        }
        Ok(found.path)
    }

    fn children(
        &mut self,
        files: &dyn Files,
        from: &Path,
        to: &Path,
        inside: &Path,
    ) -> Result<(), StepError> {
        for (name, node) in files.list(from)? {
            self.node(files, &from.join(&name), &node, &to.join(&name), &inside.join(&name))?;
        }
        Ok(())
    }

    /// Copies what is at `from`, and below, to `to`. `inside` is the path that `--exclude` is about.
    fn node(
        &mut self,
        files: &dyn Files,
        from: &Path,
        node: &Node,
        to: &Path,
        inside: &Path,
    ) -> Result<(), StepError> {
        let left_out = inside.to_string_lossy();
        if self.exclude.is_ignored_whole(&left_out) {
            return Ok(());
        }
        let ignored = self.exclude.is_ignored(&left_out);
        if ignored && node.kind != Kind::Directory {
            return Ok(());
        }
        match node.kind {
            Kind::Directory => {
                self.target.directory(to)?;
                self.children(files, from, to, inside)?;
            }
            Kind::File => {
                if let Some(first) = node.hard.and_then(|hard| self.links.get(&hard)) {
                    return self.target.hard_link(to, first);
                }
                if let Some(hard) = node.hard {
                    self.links.insert(hard, to.to_owned());
                }
                let attributes = self.changed(Attributes::of(node), false);
                return self.target.file(to, &attributes, files.open(from)?);
            }
            Kind::Symlink => self.target.symlink(to, node.link.as_deref().unwrap_or(Path::new("")))?,
            Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => {
                self.target.special(to, node.kind, node.device)?;
            }
            // Nobody can listen on one that was copied.
            Kind::Socket => return Ok(()),
        }
        self.target.set(to, &self.changed(Attributes::of(node), node.kind == Kind::Directory))
    }

    /// Attributes as `--chown` and `--chmod` have them.
    fn changed(&self, mut attributes: Attributes, directory: bool) -> Attributes {
        if let Some((uid, gid)) = self.chown {
            (attributes.uid, attributes.gid) = (uid, gid);
        }
        if let Some(change) = &self.chmod {
            attributes.mode = change.apply(attributes.mode, directory);
        }
        attributes
    }

    fn owner(&self) -> (u32, u32) {
        self.chown.unwrap_or((0, 0))
    }
}
