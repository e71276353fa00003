//! What builds leave for later ones, listed and forgotten.

#![allow(clippy::unwrap_used, reason = "test set-up")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use hoist_image::build::execute::{
    BoundSource, Build, BuildError, BuildProgress, Built, Ended, Job, Listener, Options, Overlay,
    Root, Runner,
};
use hoist_image::build::graph::{
    Action, Graph, History, Mount, MountKind, Network, Run, Sharing, Step, StepId, Tree,
};
use hoist_image::build::{Content, Kept};
use hoist_image::{Digest, Store};

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
