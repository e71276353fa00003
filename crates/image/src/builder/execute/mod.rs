//! Performs a [`Graph`]: steps that don't depend on each other run at once, each on a snapshot of what is below it, and
//! what an earlier build did already is taken from the store.
//!
//! Owns how a step is done and when. What has to be done, the front end says; how a command is run, a [`Runner`].

mod archive;
mod commit;
mod context;
mod copy;
mod error;
mod exchange;
mod fetch;
mod mode;
pub(super) mod mounted;
mod owner;
mod queue;
mod run;
mod runner;
mod snapshot;
mod step;
mod target;
mod tree;
mod wildcard;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

pub use context::FetchedContext;
pub use error::{BuildError, StepError};
pub use runner::{Bound, BoundSource, Ended, Job, Listener, Overlay, Root, Runner};
pub use tree::{Files, Kind, Node};

use super::Ignore;
use super::cache::Cache;
use super::context::{Context, Folder, Memory};
use super::exchange::{Caches, Imports};
use super::graph::{Graph, StepId};
use crate::digest::Digest;
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::store::{Session, Store};
use snapshot::Snapshot;

/// A build context, and what of it is left out.
pub struct ContextSource {
    pub folder: Box<dyn Folder>,
    pub ignore: Ignore,
}

impl std::fmt::Debug for ContextSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContextSource").field("ignore", &self.ignore).finish_non_exhaustive()
    }
}

/// What a build may vary in.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Take nothing from earlier builds.
    pub no_cache: bool,
    /// The same for these steps alone.
    pub fresh: BTreeSet<StepId>,
    /// `SOURCE_DATE_EPOCH`: no time in the image is later.
    pub epoch: Option<i64>,
    /// Names of the image.
    pub names: Vec<Reference>,
}

/// Everything a build reads, and what it is done with.
pub struct Build<'a> {
    pub store: &'a Store,
    pub runner: &'a dyn Runner,
    /// By name; `""` is the build context itself.
    pub contexts: &'a BTreeMap<String, ContextSource>,
    pub secrets: &'a BTreeMap<String, Vec<u8>>,
    /// Sockets of ssh agents, by id.
    pub ssh: &'a BTreeMap<String, PathBuf>,
    pub options: &'a Options,
    /// What it takes from builds elsewhere, and leaves for them.
    pub caches: &'a Caches,
    pub progress: &'a dyn BuildProgress,
}

impl std::fmt::Debug for Build<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Build").field("options", &self.options).finish_non_exhaustive()
    }
}

/// One thing that happened in a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildEvent<'a> {
    Started(StepId),
    /// An earlier build did it.
    Cached(StepId),
    /// What its command wrote.
    Output(StepId, &'a [u8]),
    Done(StepId),
    Failed(StepId),
    /// A cache for builds elsewhere is being written.
    Exporting(&'a str),
    /// Something is not as it should be, and the build goes on.
    Warning(&'a str),
}

/// Listens to a build, from several threads at once.
pub trait BuildProgress: Sync {
    fn event(&self, event: BuildEvent<'_>);

    /// Whether the build shall end as soon as it can. Asked often.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Nobody listens.
impl BuildProgress for () {
    fn event(&self, _: BuildEvent<'_>) {}
}

/// An image that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Digest of its configuration: what Docker calls the image id.
    pub id: Digest,
    /// Steps, and how many of them an earlier build had done.
    pub steps: usize,
    pub cached: usize,
}

/// What the steps of one build share.
struct Work<'a> {
    build: &'a Build<'a>,
    graph: &'a Graph,
    session: &'a Session<'a>,
    cache: Cache<'a>,
    imports: Imports<'a>,
    contexts: BTreeMap<&'a str, Context<'a>>,
    /// Now, when the build began.
    now: i64,
    /// A step failed: there will be no image, and the others end as soon as they can.
    failed: AtomicBool,
    /// Steps that were told cached or done before the build began anew, for a layer of a cache elsewhere that can't be
    /// had; true for those that were done.
    told: Mutex<BTreeMap<usize, bool>>,
}

impl Work<'_> {
    fn is_cancelled(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.build.progress.is_cancelled()
    }
}

/// What the store does for a step is told as the step's own progress; cancelling reaches it all the same.
impl Progress for Work<'_> {
    fn event(&self, _: Event) {}

    fn is_cancelled(&self) -> bool {
        Work::is_cancelled(self)
    }
}

impl Build<'_> {
    /// Performs the graph and registers its image.
    pub fn perform(&self, graph: &Graph) -> Result<Built, BuildError> {
        let session = self.store.session()?;
        let cache = Cache::open(self.store, &session)?;
        let memory = Memory::load(&cache.memory());
        let mut contexts = BTreeMap::new();
        for (name, source) in self.contexts {
            contexts.insert(&name[..], Context::new(&*source.folder, &source.ignore, &memory, &session));
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        let work = Work {
            build: self,
            graph,
            session: &session,
            cache,
            imports: Imports::new(&self.caches.from, self.progress),
            contexts,
            now,
            failed: AtomicBool::new(false),
            told: Mutex::default(),
        };
        let performed = work.perform();
        // Also after a failure: what was read need not be read again.
        let _ = memory.save(&work.cache.memory());
        let (snapshots, id) = performed?;
        work.export(&snapshots)?;
        let cached = snapshots.iter().filter(|snapshot| snapshot.cached).count();
        Ok(Built { id, steps: snapshots.len(), cached })
    }
}

impl Work<'_> {
    /// Performs the steps and registers the image; once more when it turned out on the way that a layer which a step
    /// stands on can't be had from where its record came from. Each time there is a record less to go by.
    fn perform(&self) -> Result<(Vec<Snapshot>, Digest), BuildError> {
        loop {
            let performed = queue::perform(self).and_then(|snapshots| {
                let id = commit::commit(self, &snapshots)?;
                Ok((snapshots, id))
            });
            match performed {
                Err(BuildError::Lost(_)) => self.failed.store(false, Ordering::Relaxed),
                other => return other,
            }
        }
    }
}
