//! RUN: what is mounted for the command, and what must not stay in the layer.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, OFlags};

use super::copy;
use super::mounted::Mounted;
use super::runner::{Bound, BoundSource, Ended, Job, Listener, Root};
use super::snapshot::Writable;
use super::step::Below;
use super::tree::{self, Files as _, Kind, Node};
use super::{BuildEvent, StepError, Work};
use crate::builder::cache::{CacheMount, Wanted};
use crate::builder::graph::{Mount, MountKind, Run, StepId, Tree};
use crate::digest::Digest;

/// What a command's mounts need to stay alive for.
struct Mounts {
    bound: Vec<Bound>,
    environment: BTreeMap<String, String>,
    _caches: Vec<CacheMount>,
}

/// Runs the command; the layer it made.
pub(super) fn run(
    work: &Work<'_>,
    id: StepId,
    run: &Run,
    base: &[Digest],
    below: Below<'_>,
) -> Result<Option<Digest>, StepError> {
    let written = work.writable(base)?;
    let mounts = mounts(work, run, below)?;
    let points = Points::note(work, &written, &mounts.bound)?;
    let mut environment = run.hidden_environment.clone();
    environment.extend(run.environment.clone());
    environment.extend(mounts.environment.clone());
    let job = Job {
        root: written.root.clone(),
        command: run.command.clone(),
        environment,
        user: run.user.clone(),
        working_dir: run.working_dir.clone(),
        mounts: mounts.bound.clone(),
        network: run.network,
        security: run.security,
        settings: run.settings.clone(),
        scratch: work.session.fresh_directory()?,
    };
    let ended = work.build.runner.run(&job, &Ears { work, id }).map_err(StepError::Run);
    if work.is_cancelled() {
        return Err(StepError::Cancelled);
    }
    match ended? {
        Ended::Status(0) => {}
        Ended::Status(status) => return Err(StepError::Status(status)),
        Ended::Signal(signal) => return Err(StepError::Signal(signal)),
    }
    drop(mounts);
    points.clear(work, &written)?;
    work.keep(&written)
}

struct Ears<'a> {
    work: &'a Work<'a>,
    id: StepId,
}

impl Listener for Ears<'_> {
    fn output(&self, bytes: &[u8]) {
        self.work.build.progress.event(BuildEvent::Output(self.id, bytes));
    }

    fn is_cancelled(&self) -> bool {
        self.work.is_cancelled()
    }
}

fn mounts(work: &Work<'_>, run: &Run, below: Below<'_>) -> Result<Mounts, StepError> {
    let mut mounts = Mounts { bound: Vec::new(), environment: BTreeMap::new(), _caches: Vec::new() };
    for mount in &run.mounts {
        add(work, mount, below, &mut mounts)?;
    }
    for (path, content) in &run.files {
        let file = work.session.fresh_directory()?.join("file");
        fs::write(&file, content).map_err(StepError::io("writing", &file))?;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&file, mode).map_err(StepError::io("writing", &file))?;
        mounts.bound.push(Bound { target: path.into(), source: BoundSource::Path(file), readonly: true });
    }
    // What is mounted below another mount comes after it.
    mounts.bound.sort_by_key(|bound| bound.target.components().count());
    Ok(mounts)
}

fn add(work: &Work<'_>, mount: &Mount, below: Below<'_>, mounts: &mut Mounts) -> Result<(), StepError> {
    let target = PathBuf::from(&mount.target);
    let (source, readonly) = match &mount.kind {
        MountKind::Bind { from, source, writable } => (tree_at(work, from, source, below)?, !writable),
        MountKind::Cache { id, from, source, sharing, readonly, mode, uid, gid } => {
            let wanted = Wanted { id, sharing: *sharing, mode: *mode, uid: *uid, gid: *gid };
            let root = work.cache.mounts();
            let cache = CacheMount::take(&root, &wanted).map_err(StepError::io("opening", &root))?;
            if cache.new && *from != Tree::Empty {
                let opened = work.open(from, below)?;
                copy::into(
                    work,
                    opened.files(),
                    &tree::resolve(opened.files(), Path::new(source), true)?,
                    &cache.folder,
                )?;
            }
            let folder = cache.folder.clone();
            mounts._caches.push(cache);
            (BoundSource::Path(folder), *readonly)
        }
        MountKind::Tmpfs { size } => (BoundSource::Tmpfs { size: *size }, false),
        MountKind::Secret { id, env, required, mode, uid, gid } => {
            let Some(content) = work.build.secrets.get(id) else {
                return if *required { Err(absent("secret", id)) } else { Ok(()) };
            };
            if let Some(name) = env {
                let text = String::from_utf8_lossy(content).into_owned();
                mounts.environment.insert(name.clone(), text);
            }
            if mount.target.is_empty() {
                return Ok(());
            }
            let content = content.clone();
            (BoundSource::Secret { content, mode: *mode, uid: *uid, gid: *gid }, true)
        }
        MountKind::Ssh { id, required, mode, uid, gid } => {
            let Some(socket) = work.build.ssh.get(id) else {
                return if *required { Err(absent("ssh agent", id)) } else { Ok(()) };
            };
            mounts.environment.entry("SSH_AUTH_SOCK".to_owned()).or_insert_with(|| mount.target.clone());
            (BoundSource::Socket { path: socket.clone(), mode: *mode, uid: *uid, gid: *gid }, false)
        }
    };
    mounts.bound.push(Bound { target, source, readonly });
    Ok(())
}

fn absent(what: &str, id: &str) -> StepError {
    StepError::Refused(format!("the step needs the {what} {id:?}, which was not handed over"))
}

/// What a bind mount shows: of a stage the tree itself, of a context a copy of what is asked for.
fn tree_at(work: &Work<'_>, from: &Tree, source: &str, below: Below<'_>) -> Result<BoundSource, StepError> {
    let missing = || StepError::Refused(format!("{source:?}, which is to be mounted, is not there"));
    let opened = work.open(from, below)?;
    let found = tree::resolve(opened.files(), Path::new(source), true)?;
    let Some(kind) = found.node.as_ref().map(|node| node.kind) else { return Err(missing()) };
    if matches!(from, Tree::Context(_)) {
        let folder = work.session.fresh_directory()?;
        let path = if kind == Kind::Directory { folder.clone() } else { folder.join("file") };
        copy::into(work, opened.files(), &found, &folder)?;
        return Ok(BoundSource::Path(path));
    }
    let root: Root = work.writable(&work.chain(from, below)?)?.root;
    Ok(BoundSource::Tree { root, path: found.path })
}

/// Where things are mounted, as far as it was missing: made for the command, and of no use in a layer.
struct Points {
    missing: Vec<PathBuf>,
    /// Folders that something was made in, with their times.
    parents: Vec<(PathBuf, Node)>,
}

/// What any runner mounts, or makes, in a root.
const USUAL: [&str; 9] = [
    "dev",
    "dev/console",
    "proc",
    "sys",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/hostname",
    "run/secrets",
    "dev/pipes",
];

impl Points {
    fn note(work: &Work<'_>, written: &Writable, mounts: &[Bound]) -> Result<Self, StepError> {
        let root = work.mount(&written.root)?;
        let mut points = Self { missing: Vec::new(), parents: Vec::new() };
        let targets = mounts.iter().map(|mount| mount.target.as_path()).chain(USUAL.map(Path::new));
        for target in targets {
            points.missing_of(&root, target)?;
        }
        points.missing.sort();
        points.missing.dedup();
        Ok(points)
    }

    fn missing_of(&mut self, root: &Mounted, target: &Path) -> Result<(), StepError> {
        let found = tree::resolve(root, target, true)?;
        if found.node.is_some() {
            return Ok(());
        }
        for path in found.path.ancestors() {
            match root.node(path)? {
                None => self.missing.push(path.to_owned()),
                Some(node) => {
                    self.parents.push((path.to_owned(), node));
                    break;
                }
            }
        }
        Ok(())
    }

    /// Removes what is empty still, the deepest first, and puts times back.
    fn clear(&self, work: &Work<'_>, written: &Writable) -> Result<(), StepError> {
        let target = super::target::Target::new(work.mount(&written.root)?);
        let mut removed = false;
        for path in self.missing.iter().rev() {
            let Some(node) = target.tree.node(path)? else { continue };
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let empty = match node.kind {
                Kind::Directory => target.tree.list(path)?.is_empty(),
                Kind::File => node.size == 0,
                _ => false,
            };
            if empty {
                let parent = target.tree.at(parent, OFlags::PATH | OFlags::DIRECTORY);
                let parent = parent.map_err(StepError::errno("opening", path))?;
                let flags = if node.kind == Kind::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
                rustix::fs::unlinkat(parent, name, flags).map_err(StepError::errno("removing", path))?;
                removed = true;
            }
        }
        for (path, before) in self.parents.iter().filter(|_| removed) {
            target.set_time(path, before.mtime)?;
        }
        Ok(())
    }
}
