//! Caches that one host's builds leave and another host's take: in folders, at registries and in images. What is taken
//! is fetched when it is needed; what can't be used is told, and the build goes on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod refused;
#[path = "../images/registry.rs"]
#[allow(dead_code, reason = "the tests of images use the rest")]
mod registry;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hoist_tests::{Host, Outcome, Stack};
use registry::{NAME, PROGRAMS, Registry};

/// Steps of the stack's Dockerfile.
const ALL: &str = "all cached";

/// The scenario's folder, copied to where it can be changed.
pub(crate) struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    pub(crate) fn new() -> Self {
        let folder = tempfile::TempDir::with_prefix("hoist-build-cache-").unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("build-cache/.");
        let copied = Command::new("cp").arg("-R").arg(from).arg(folder.path()).status().unwrap();
        assert!(copied.success());
        fs::copy("/bin/busybox", folder.path().join("busybox")).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The stack in a root of its own, with these caches.
    pub(crate) fn stack<'h>(&self, host: &'h Host, root: &str, from: &str, to: &str) -> Stack<'h> {
        let stack = host.stack(self.path("stack.yaml").to_str().unwrap()).in_root(root);
        stack.with("FROM", from).with("TO", to)
    }
}

pub(crate) fn build(stack: &Stack<'_>) -> Outcome {
    stack.hoist(&["build"]).success()
}

/// The image's id.
pub(crate) fn id(stack: &Stack<'_>) -> String {
    let shown = stack.hoist(&["image", "inspect", "cached-web"]).success();
    let images: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    images[0]["Id"].as_str().unwrap().to_owned()
}

/// Bytes of blobs in a root's store.
fn blobs(stack: &Stack<'_>) -> u64 {
    let blobs = fs::read_dir(stack.root().join("images/blobs/sha256")).unwrap();
    blobs.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn a_fresh_host_takes_all_from_a_folder_and_fetches_only_what_the_image_has() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let project = Project::new();
    let a = project.stack(&host, "a", "type=local,src=./none", "type=local,dest=./cache,mode=max");
    let first = build(&a);
    assert!(first.stderr.contains("6 steps, 0 cached"), "{first}");
    assert!(first.stderr.contains("the cache ./none can't be read: it does not exist"), "{first}");
    assert!(blobs(&a) > 4_000_000, "the builder's layer is there");

    // A folder that any tool reads as an OCI layout.
    let layout = project.path("cache");
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1, "{index}");

    let b = project.stack(&host, "b", "type=local,src=./cache", "type=inline");
    let taken = build(&b);
    assert!(taken.stderr.contains(ALL), "{taken}");
    assert!(blobs(&b) < 4_000_000, "the builder's layer is of no use here");
    assert!(build(&b).stderr.contains(ALL), "and now it is in the own records");

    let c = project.stack(&host, "c", "type=local,src=./cache", "type=local,dest=./again,mode=max");
    let passed_on = build(&c);
    assert!(passed_on.stderr.contains(ALL), "{passed_on}");
    assert_eq!(id(&c), id(&a), "it is the same image");
    assert_ne!(id(&b), id(&a), "this one carries its records");
    fs::remove_dir_all(&layout).unwrap();
    let d = project.stack(&host, "d", "type=local,src=./again", "type=local,dest=./cache");
    assert!(build(&d).stderr.contains(ALL), "what was taken was passed on");
    assert_eq!(id(&d), id(&a));

    // A changed file: what stands above it is done again, and reads what the builder left, from the cache.
    fs::write(project.path("page"), "another page\n").unwrap();
    let e = project.stack(&host, "e", "type=local,src=./again", "type=local,dest=./cache");
    let changed = build(&e);
    assert!(changed.stderr.contains("6 steps, 3 cached"), "{changed}");
    let ran = |step: &str| ended(&changed.stderr, step, " done in") > 0;
    assert!(ran("COPY page") && ran("COPY --from=builder") && ran("busybox cat /page"), "{changed}");
    assert!(!ran("COPY source") && !ran("head -c"), "{changed}");
}

/// How many steps with such a title ended so. A step's title stands once, before its number's other lines.
fn ended(output: &str, title: &str, how: &str) -> usize {
    let titled = output.lines().filter(|line| line.contains(title));
    let numbers = titled.filter_map(|line| line.split(' ').find(|word| word.starts_with('#')));
    let has_ended =
        |number: &&str| output.lines().any(|line| line.contains(&format!("{number} ")) && line.contains(how));
    numbers.filter(has_ended).count()
}

#[test]
fn with_mode_min_another_stage_is_done_again_only_when_it_is_read() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let project = Project::new();
    let a = project.stack(&host, "a", "type=local,src=./cache", "type=local,dest=./cache");
    build(&a);
    let size = |entry: fs::DirEntry| entry.metadata().unwrap().len();
    let kept = fs::read_dir(project.path("cache/blobs/sha256")).unwrap().map(|entry| size(entry.unwrap()));
    assert!(kept.sum::<u64>() < 4_000_000, "the builder's layer is not in it");

    let b = project.stack(&host, "b", "type=local,src=./cache", "type=local,dest=./other");
    assert!(build(&b).stderr.contains(ALL), "records of all steps are");
    assert_eq!(id(&b), id(&a));

    fs::write(project.path("page"), "another page\n").unwrap();
    let c = project.stack(&host, "c", "type=local,src=./cache", "type=local,dest=./other");
    let changed = build(&c);
    let lines = |step: &str, end: &str| ended(&changed.stderr, step, end);
    assert!(changed.stderr.contains("6 steps, 1 cached"), "{changed}");
    assert_eq!([lines("head -c", " cached"), lines("head -c", " done in")], [0, 1], "{changed}");
    assert_eq!(lines("COPY page", " done in"), 1, "no step is done twice: {changed}");
    assert_eq!(lines("COPY busybox", " cached"), 1, "{changed}");
}

#[test]
fn caches_are_at_a_registry_or_in_the_image_and_asked_in_order() {
    let Some(host) = Host::with(&PROGRAMS) else { return };
    let registry = Registry::start(&host);
    registry.login("password").ok();
    let project = Project::new();
    let docker = registry.path("docker").display().to_string();
    let stack = |root: &str, from: &str, to: &str| {
        fs::create_dir_all(host.root(root)).unwrap();
        fs::copy(host.root("root").join("registries.yaml"), host.root(root).join("registries.yaml")).unwrap();
        project.stack(&host, root, from, to).with("DOCKER_CONFIG", &docker)
    };
    let (cache, image) = (format!("{NAME}/team/cache:main"), format!("{NAME}/team/app:1"));
    let a = stack("a", "type=local,src=./none", &format!("type=registry,ref={cache},mode=max"));
    let first = build(&a);
    assert!(!first.stderr.contains("can't be written"), "{first}");
    let b = stack("b", &cache, "type=inline");
    let taken = build(&b);
    assert!(taken.stderr.contains(ALL), "{taken}");
    assert!(blobs(&b) < 4_000_000, "only the image's own layers came");

    // The image carries its records through a push.
    b.hoist(&["image", "tag", "cached-web", &image]).ok();
    b.hoist(&["image", "push", &image]).ok();
    registry.skopeo("team/app:1", "copied").ok();
    let c = stack("c", &image, &format!("type=registry,ref={cache},mode=max"));
    let inline = build(&c);
    assert!(inline.stderr.contains(ALL), "{inline}");
    assert_eq!(c.hoist(&["image", "ls", "-q"]).success().text().lines().count(), 1, "it was not pulled");
    assert_eq!(id(&c), id(&a));

    // The image's layers are at the registry in the image's repository; the cache takes what is here.
    let text = fs::read_to_string(project.path("stack.yaml")).unwrap();
    let several = text.replace(r#"["${FROM:-"#, &format!(r#"["{NAME}/team/none:1", "${{FROM:-"#));
    fs::write(project.path("stack.yaml"), several).unwrap();
    let d = stack("d", &cache, "type=inline");
    let second = build(&d);
    assert!(second.stderr.contains("team/none:1 can't be read"), "{second}");
    assert!(second.stderr.contains(ALL), "{second}");
    assert_eq!(id(&d), id(&b));
}
