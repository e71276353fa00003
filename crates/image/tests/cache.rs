//! What builds leave for later ones: listed, forgotten, and made once when several builds want it at the same time.

#![allow(clippy::unwrap_used, reason = "test set-up")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hoist_image::builder::exchange::Caches;
use hoist_image::builder::execute::{
    BoundSource, Build, BuildError, BuildEvent, BuildProgress, Built, Ended, Job, Listener, Options, Overlay,
    Root, Runner,
};
use hoist_image::builder::graph::{
    Action, Graph, History, Mount, MountKind, Network, Run, Security, Sharing, Step, StepId, Tree,
};
use hoist_image::builder::{Content, Kept};
use hoist_image::{Digest, Store};
use hoist_model::RunSettings;

/// Instead of running a command, writes its words to `/said` and to each of its mounts.
struct Scribe;

impl Runner for Scribe {
    fn mount(&self, _: &Overlay) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn run(&self, job: &Job, _: &dyn Listener) -> Result<Ended, Box<dyn Error + Send + Sync>> {
        let Root::Directory(root) = &job.root else { return Err("no overlay is expected".into()) };
        fs::write(root.join("said"), job.command.join(" "))?;
        for mount in &job.mounts {
            if let BoundSource::Path(path) = &mount.source {
                fs::write(path.join("said"), job.command.join(" "))?;
            }
        }
        Ok(Ended::Status(0))
    }
}

/// A command on an empty root, with a cache mount.
fn graph(said: &str) -> Graph {
    let cache = MountKind::Cache {
        id: "id".into(),
        from: Tree::Empty,
        source: "/".into(),
        sharing: Sharing::Shared,
        readonly: false,
        mode: 0o755,
        uid: 0,
        gid: 0,
    };
    let run = Run {
        command: vec![said.to_owned()],
        environment: BTreeMap::new(),
        hidden_environment: BTreeMap::new(),
        user: None,
        working_dir: "/".into(),
        mounts: vec![Mount { target: "/cache".into(), kind: cache }],
        network: Network::Default,
        files: BTreeMap::new(),
        security: Security::Sandbox,
        settings: RunSettings::default(),
    };
    let serde_json::Value::Object(config) = serde_json::json!({ "architecture": "amd64", "os": "linux" })
    else {
        unreachable!()
    };
    Graph {
        steps: vec![Step { title: said.to_owned(), base: Tree::Empty, action: Action::Run(run), line: 1 }],
        target: Tree::Step(StepId(0)),
        config,
        history: vec![History { created_by: said.to_owned(), step: Some(StepId(0)) }],
    }
}

fn build(store: &Store, said: &str) -> Built {
    perform(store, &Scribe, &graph(said), &()).unwrap()
}

fn perform(
    store: &Store,
    runner: &dyn Runner,
    graph: &Graph,
    progress: &dyn BuildProgress,
) -> Result<Built, BuildError> {
    let options = Options { epoch: Some(1_000_000_000), ..Options::default() };
    let build = Build {
        store,
        runner,
        contexts: &BTreeMap::new(),
        secrets: &BTreeMap::new(),
        ssh: &BTreeMap::new(),
        options: &options,
        caches: &Caches::default(),
        progress,
    };
    build.perform(graph)
}

fn store() -> (tempfile::TempDir, Store) {
    let tmp = tempfile::tempdir().unwrap();
    let store = Store::open(&tmp.path().join("store")).unwrap();
    (tmp, store)
}

/// The layers that are kept, with the images that have them.
fn layers(kept: &[Kept]) -> BTreeMap<Digest, Vec<Digest>> {
    let layer = |kept: &Kept| match kept.content {
        Content::Steps { layer, .. } => Some((layer?, kept.images.clone())),
        Content::Mount(_) => None,
    };
    kept.iter().filter_map(layer).collect()
}

#[test]
fn what_builds_left_is_listed_with_the_images_that_have_it_and_forgotten() {
    let (tmp, store) = store();
    let (one, two) = (build(&store, "one"), build(&store, "three"));
    let before = store.builds().unwrap();
    assert!(layers(&before).values().all(|images| images.len() == 1) && layers(&before).len() == 2);
    store.remove_id(one.id, true, &[]).unwrap();
    assert_eq!(store.gc(&[two.id]).unwrap().layers, 0, "a record keeps its layer");
    let kept = store.builds().unwrap();
    let mount = kept.iter().find(|kept| kept.is_mount()).unwrap();
    assert!(mount.bytes > 0 && mount.used.abs_diff(kept[1].used) < 60, "{kept:?}");
    let (loose, shared): (Vec<Kept>, Vec<Kept>) =
        kept.iter().filter(|kept| !kept.is_mount()).cloned().partition(|kept| kept.images.is_empty());
    assert_eq!((loose.len(), loose[0].bytes), (1, 3));
    assert_eq!((shared[0].images.clone(), shared[0].bytes), (vec![two.id], 5));

    assert_eq!(store.forget_builds(&loose).unwrap(), 0, "the layer is still there");
    assert_eq!(store.gc(&[]).unwrap().layers, 1);
    assert_eq!(build(&store, "three").cached, 1);
    assert_eq!(build(&store, "one").cached, 0, "it has to be done again");
    let mount = store.builds().unwrap().into_iter().filter(Kept::is_mount).collect::<Vec<_>>();
    assert!(store.forget_builds(&mount).unwrap() > 0);
    assert!(!store.builds().unwrap().iter().any(Kept::is_mount));
    assert_eq!(fs::read_dir(tmp.path().join("store/tmp")).unwrap().count(), 0);
    assert!(store.verify().unwrap().is_empty());
}

/// A scribe whose first command ends only when both builds have begun the step and `first` lets it.
struct Slow<'a> {
    runs: AtomicUsize,
    begun: &'a AtomicUsize,
    first: &'a (dyn Fn() -> Ended + Sync),
}

impl Runner for Slow<'_> {
    fn mount(&self, overlay: &Overlay) -> io::Result<OwnedFd> {
        Scribe.mount(overlay)
    }

    fn run(&self, job: &Job, listener: &dyn Listener) -> Result<Ended, Box<dyn Error + Send + Sync>> {
        if self.runs.fetch_add(1, Ordering::SeqCst) > 0 {
            return Scribe.run(job, listener);
        }
        until(|| self.begun.load(Ordering::SeqCst) == 2);
        Scribe.run(job, listener)?;
        Ok((self.first)())
    }
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Counts builds that have begun their step; cancels one when it is told to.
struct Begins<'a> {
    begun: &'a AtomicUsize,
    cancelled: bool,
}

impl BuildProgress for Begins<'_> {
    fn event(&self, event: BuildEvent<'_>) {
        if matches!(event, BuildEvent::Started(_)) {
            self.begun.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled && self.begun.load(Ordering::SeqCst) == 2
    }
}

/// What came of two builds of one graph at once, the one that does the step first, and how often it was done.
fn two(first: &(dyn Fn() -> Ended + Sync)) -> ([Result<Built, BuildError>; 2], usize) {
    let ((_tmp, store), begun) = (store(), AtomicUsize::new(0));
    let runner = Slow { runs: AtomicUsize::new(0), begun: &begun, first };
    let both = std::thread::scope(|scope| {
        let one = scope
            .spawn(|| perform(&store, &runner, &graph("it"), &Begins { begun: &begun, cancelled: false }));
        until(|| runner.runs.load(Ordering::SeqCst) == 1);
        let other = perform(&store, &runner, &graph("it"), &Begins { begun: &begun, cancelled: false });
        [one.join().unwrap(), other]
    });
    assert!(store.verify().unwrap().is_empty());
    (both, runner.runs.into_inner())
}

#[test]
fn builds_at_once_do_a_step_once() {
    let ([one, other], runs) = two(&|| Ended::Status(0));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.cached, other.cached, runs), (0, 1, 1));
    assert_eq!(one.id, other.id);
}

#[test]
fn a_build_does_itself_what_the_one_it_waited_for_failed_to_do() {
    let ([one, other], runs) = two(&|| Ended::Status(1));
    assert!(matches!(one, Err(BuildError::Step { .. })));
    assert_eq!((other.unwrap().cached, runs), (0, 2));
}

#[test]
fn a_build_that_waits_for_another_can_be_cancelled() {
    let over = AtomicUsize::new(0);
    let first = || {
        until(|| over.load(Ordering::SeqCst) == 1);
        Ended::Status(0)
    };
    let ((_tmp, store), begun) = (store(), AtomicUsize::new(0));
    let runner = Slow { runs: AtomicUsize::new(0), begun: &begun, first: &first };
    std::thread::scope(|scope| {
        let one = scope
            .spawn(|| perform(&store, &runner, &graph("it"), &Begins { begun: &begun, cancelled: false }));
        until(|| runner.runs.load(Ordering::SeqCst) == 1);
        let other = perform(&store, &runner, &graph("it"), &Begins { begun: &begun, cancelled: true });
        over.store(1, Ordering::SeqCst);
        assert!(matches!(other, Err(BuildError::Cancelled)));
        assert_eq!(one.join().unwrap().unwrap().cached, 0);
    });
}

/// Ends `fail` with a failure, and anything else only when it is told to.
struct Patient;

impl Runner for Patient {
    fn mount(&self, overlay: &Overlay) -> io::Result<OwnedFd> {
        Scribe.mount(overlay)
    }

    fn run(&self, job: &Job, listener: &dyn Listener) -> Result<Ended, Box<dyn Error + Send + Sync>> {
        if job.command == ["fail"] {
            return Ok(Ended::Status(7));
        }
        until(|| listener.is_cancelled());
        Ok(Ended::Signal(9))
    }
}

#[test]
fn a_step_that_fails_ends_those_beside_it() {
    let (_tmp, store) = store();
    let mut graph = graph("wait");
    graph.steps.append(&mut crate::graph("fail").steps);
    let error = perform(&store, &Patient, &graph, &()).unwrap_err();
    assert!(matches!(error, BuildError::Step { title, .. } if title == "fail"));
}
