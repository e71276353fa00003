//! One step: its key, what an earlier build left under it, or else the work.

use std::path::Path;

use super::copy::Sources;
use super::snapshot::{Opened, Snapshot};
use super::target::{Attributes, Target};
use super::tree::{self, Files};
use super::{StepError, Work, copy, owner, run};
use crate::builder::Ignore;
use crate::builder::cache::{Key, Record, StepLock};
use crate::builder::graph::{Action, Mount, MountKind, Source, Step, StepId, Tree};
use crate::digest::Digest;

/// What earlier steps left, by number.
pub(super) type Below<'a> = &'a [(usize, Snapshot)];

/// Performs a step, or finds what it left before.
pub(super) fn perform(work: &Work<'_>, id: StepId, below: Below<'_>) -> Result<Snapshot, StepError> {
    let step = &work.graph.steps[id.0];
    let base = work.chain(&step.base, below)?;
    let sources = Sources::prepare(work, step, below)?;
    // Trees of stages are first compared by their layers, which costs nothing, and then by what is read of them.
    let quick = key(work, step, &base, below, &sources, false)?;
    let (mut keys, mut locks) = (vec![quick], Vec::new());
    match find(work, id, quick)? {
        CachedStep::Record(record) => return Ok(snapshot(base, quick, record, true)),
        CachedStep::Nothing(lock) => locks.extend(lock),
    }
    let mut thorough = None;
    if reads_stages(step) {
        let other = key(work, step, &base, below, &sources, true)?;
        (keys, thorough) = (vec![quick, other], Some(other));
        match find(work, id, other)? {
            CachedStep::Record(record) => {
                let record = Record { thorough, ..record };
                work.note(quick, record)?;
                return Ok(snapshot(base, quick, record, true));
            }
            CachedStep::Nothing(lock) => locks.extend(lock),
        }
    }
    let layer = act(work, id, step, &base, below, &sources)?;
    let created = work.build.options.epoch.unwrap_or(work.now);
    let record = Record { layer, created, thorough };
    keys.into_iter().for_each(|key| work.cache.keep(key, &record));
    // Who waits for one looks for the record next.
    drop(locks);
    Ok(snapshot(base, quick, record, false))
}

enum CachedStep<'a> {
    Record(Record),
    /// The step is to be done, by this build alone unless it takes nothing from others.
    Nothing(Option<StepLock<'a>>),
}

/// What another build left under the key. One that is just doing the step is waited for.
fn find<'a>(work: &'a Work<'_>, id: StepId, key: Digest) -> Result<CachedStep<'a>, StepError> {
    if work.build.options.no_cache || work.build.options.fresh.contains(&id) {
        return Ok(CachedStep::Nothing(None));
    }
    if let Some(record) = work.known(key)? {
        return Ok(CachedStep::Record(record));
    }
    let lock = work.build.store.step_locks.take(key, || work.is_cancelled()).ok_or(StepError::Cancelled)?;
    Ok(work.known(key)?.map_or(CachedStep::Nothing(Some(lock)), CachedStep::Record))
}

fn snapshot(mut chain: Vec<Digest>, key: Digest, record: Record, cached: bool) -> Snapshot {
    chain.extend(record.layer);
    let keys = std::iter::once(key).chain(record.thorough).collect();
    Snapshot { chain, layer: record.layer, created: record.created, keys, cached }
}

fn act(
    work: &Work<'_>,
    id: StepId,
    step: &Step,
    base: &[Digest],
    below: Below<'_>,
    sources: &Sources<'_>,
) -> Result<Option<Digest>, StepError> {
    match &step.action {
        Action::Run(run) => run::run(work, id, run, base, below),
        Action::Copy(copy) => copy::copy(work, copy, base, sources),
        Action::Folder { path, owner } => folder(work, path, owner.as_deref(), base),
    }
}

/// WORKDIR.
fn folder(
    work: &Work<'_>,
    path: &str,
    owner: Option<&str>,
    base: &[Digest],
) -> Result<Option<Digest>, StepError> {
    let written = work.writable(base)?;
    let target = Target::new(work.mount(&written.root)?);
    let owner = owner.map_or(Ok((0, 0)), |text| owner::resolve(&target.tree, text))?;
    if target.resolve(Path::new(path))?.node.is_some_and(|node| node.kind == tree::Kind::Directory) {
        return Ok(None);
    }
    let made = target.folders(Path::new(path), owner)?;
    if let Some(epoch) = work.build.options.epoch {
        let (uid, gid) = owner;
        target.set(
            &made,
            &Attributes { mode: 0o755, uid, gid, mtime: Some((epoch, 0)), ..Attributes::default() },
        )?;
    }
    drop(target);
    work.keep(&written)
}

/// Everything that the step's result depends on. `thorough`: trees of stages by what is read of them.
fn key(
    work: &Work<'_>,
    step: &Step,
    base: &[Digest],
    below: Below<'_>,
    sources: &Sources<'_>,
    thorough: bool,
) -> Result<Digest, StepError> {
    let mut key = Key::new();
    key.add(&[u8::from(thorough)]);
    key.add(
        &serde_json::to_vec(&plain(&step.action)).map_err(|error| StepError::Refused(error.to_string()))?,
    );
    key.add(&work.build.options.epoch.map_or(Vec::new(), |epoch| epoch.to_le_bytes().to_vec()));
    let links = matches!(&step.action, Action::Copy(copy) if copy.link && sources.owner_is_plain(copy));
    if !links {
        base.iter().for_each(|layer| key.add(layer.to_string().as_bytes()));
    }
    match &step.action {
        Action::Copy(copy) => sources.add_to(work, &mut key, copy, below, thorough)?,
        Action::Run(run) => {
            for mount in &run.mounts {
                add_mount(work, &mut key, mount, below, thorough)?;
            }
        }
        Action::Folder { .. } => {}
    }
    Ok(key.digest())
}

fn add_mount(
    work: &Work<'_>,
    key: &mut Key,
    mount: &Mount,
    below: Below<'_>,
    thorough: bool,
) -> Result<(), StepError> {
    let MountKind::Bind { from, source, .. } = &mount.kind else { return Ok(()) };
    if !thorough && !matches!(from, Tree::Context(_)) {
        work.chain(from, below)?.iter().for_each(|layer| key.add(layer.to_string().as_bytes()));
        return Ok(());
    }
    let opened = work.open(from, below)?;
    let files = opened.files();
    let found = tree::resolve(files, Path::new(source), true)?;
    let missing = || StepError::Refused(format!("{source:?}, which is to be mounted, is not there"));
    let node = found.node.ok_or_else(missing)?;
    if node.kind == tree::Kind::Directory {
        files.prefetch(&found.path)?;
    }
    key.add_tree(files, &found.path, &node, &Ignore::default(), Path::new(""))
}

/// The action without what may change though nothing else does: which step a tree comes from, and proxies.
fn plain(action: &Action) -> Action {
    let mut action = action.clone();
    match &mut action {
        Action::Run(run) => {
            run.hidden_environment.clear();
            run.settings = run.settings.compared();
            for mount in &mut run.mounts {
                if let MountKind::Bind { from, .. } | MountKind::Cache { from, .. } = &mut mount.kind {
                    *from = Tree::Empty;
                }
            }
        }
        Action::Copy(copy) => {
            for source in &mut copy.sources {
                if let Source::Files { from, .. } = source {
                    *from = Tree::Empty;
                }
            }
        }
        Action::Folder { .. } => {}
    }
    action
}

/// Whether files of an image or stage are read.
fn reads_stages(step: &Step) -> bool {
    let stage = |tree: &Tree| matches!(tree, Tree::Image(_) | Tree::Step(_));
    match &step.action {
        Action::Run(run) => {
            run.mounts.iter().any(|mount| matches!(&mount.kind, MountKind::Bind { from, .. } if stage(from)))
        }
        Action::Copy(copy) => {
            copy.sources.iter().any(|source| matches!(source, Source::Files { from, .. } if stage(from)))
        }
        Action::Folder { .. } => false,
    }
}

impl Opened<'_> {
    pub(super) fn files(&self) -> &dyn Files {
        match self {
            Self::Context(context) => *context,
            Self::Mounted(mounted) => mounted,
        }
    }
}
