//! `kill -9` at random instants, and a disk without a byte left: the store is sound, nothing is half there, and the
//! next operation finishes.

#![allow(clippy::unwrap_used, reason = "test set-up")]

mod disk;
mod power;
#[path = "../support/runner.rs"]
mod runner;
#[path = "../support/registry.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hoist_image::Store;
use server::{Registry, layout};
use support::{sh, tree};
use work::{Place, ROLES, Role, folders};

/// Kills, on as many stores at once as there are.
const KILLS: usize = 500;
const STORES: usize = 2;

/// A registry with an image, an archive with another, and a context for a third.
struct Scene {
    registry: Registry,
    tmp: tempfile::TempDir,
}

impl Scene {
    fn new() -> Option<Self> {
        let registry = Registry::start(false)?;
        // In memory, so that waiting for the disk takes no time; a killed process leaves the same behind.
        let memory = ["/dev/shm", "/tmp"].into_iter().find(|path| Path::new(path).is_dir()).unwrap();
        let tmp = tempfile::tempdir_in(memory).unwrap();
        let at = tmp.path();
        folders(&at.join("context"), "context");
        fs::create_dir_all(at.join("image")).unwrap();
        folders(&at.join("image/files"), "image");
        layout(&at.join("image"), 100_000);
        sh(&format!(
            "cd {}/image; for n in 0 1 2; do umoci insert --image oci:app files/$n /$n; done
             skopeo copy -q {} oci:oci:app docker://{}
             umoci insert --image oci:app files /loaded
             skopeo copy -q --insecure-policy oci:oci:app docker-archive:../loaded.tar:loaded:1",
            at.display(),
            registry.skopeo("dest"),
            registry.name("app:1"),
        ));
        Some(Self { registry, tmp })
    }

    fn place(&self, store: &str) -> Place {
        let at = self.tmp.path();
        Place {
            store: at.join(store),
            archive: at.join("loaded.tar"),
            context: at.join("context"),
            reference: self.registry.name("app:1"),
        }
    }

    /// Each layer's tree, by its name in the store; all operations come to their end once.
    fn layers(&self) -> BTreeMap<String, String> {
        let place = self.place("reference");
        let store = Store::open(&place.store).unwrap();
        ROLES.into_iter().for_each(|role| place.perform(&store, role).unwrap());
        let layers = trees(&place.store);
        assert!(layers.len() >= 9, "{} layers", layers.len());
        layers
    }
}

fn trees(store: &Path) -> BTreeMap<String, String> {
    let list = fs::read_dir(store.join("layers")).unwrap().map(|entry| entry.unwrap());
    list.map(|entry| (entry.file_name().into_string().unwrap(), tree(&entry.path().join("fs")))).collect()
}

#[test]
fn killed_at_any_instant_the_store_is_sound_and_the_next_operation_finishes() {
    let Some(scene) = Scene::new() else { return };
    let layers = scene.layers();
    let begun = Instant::now();
    let results = std::thread::scope(|scope| {
        let run = |n: usize| {
            let (place, layers) = (scene.place(&format!("store{n}")), &layers);
            scope.spawn(move || Killer::new(place, layers, n as u64 + 1).run(KILLS / STORES))
        };
        let running: Vec<_> = (0..STORES).map(run).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    let mut sums = BTreeMap::new();
    results.into_iter().flatten().for_each(|(role, kills)| *sums.entry(role).or_insert(0) += kills);
    let sum: usize = sums.values().sum();
    println!("{sum} kills in {:.0?}: {sums:?}", begun.elapsed());
    assert!(sum >= KILLS && sums.values().all(|&kills| kills >= KILLS / 10), "{sums:?}");
}

/// Kills processes that work on one store.
#[derive(Clone)]
struct Killer<'a> {
    place: Place,
    /// What each layer must be.
    layers: &'a BTreeMap<String, String>,
    /// How long an operation takes when nothing kills it.
    lasts: BTreeMap<Role, Duration>,
    seed: u64,
}

impl<'a> Killer<'a> {
    fn new(place: Place, layers: &'a BTreeMap<String, String>, seed: u64) -> Self {
        Self { place, layers, lasts: BTreeMap::new(), seed }
    }

    fn run(mut self, wanted: usize) -> BTreeMap<Role, usize> {
        ROLES.into_iter().for_each(|role| self.measure(role));
        let mut kills = BTreeMap::new();
        let mut round = 0;
        while kills.values().sum::<usize>() < wanted {
            let role = ROLES[round % ROLES.len()];
            round += 1;
            assert!(round < wanted * 5, "too many ended before they were killed: {kills:?}");
            self.prepare(role);
            *kills.entry(role).or_default() += usize::from(self.kill(role));
            self.check(role);
        }
        self.finish();
        kills
    }

    fn measure(&mut self, role: Role) {
        self.prepare(role);
        let (mut child, begun) = self.start(role);
        assert!(child.wait().unwrap().success(), "{role:?}");
        self.lasts.insert(role, begun.elapsed());
    }

    /// Makes room for what the role will make; for collecting, makes what it will collect.
    fn prepare(&self, role: Role) {
        let store = Store::open(&self.place.store).unwrap();
        if role == Role::Gc {
            self.place.perform(&store, Role::Load).unwrap();
        }
        let made = if role == Role::Gc { Role::Load } else { role };
        for name in self.place.names(made) {
            while let Some(image) = store.resolve(&name).unwrap() {
                store.remove_id(image.id, true, &[]).unwrap();
            }
        }
        store.forget_builds(&store.builds().unwrap()).unwrap();
        if role != Role::Gc {
            store.gc(&[]).unwrap();
        }
    }

    /// A process that says when it begins.
    fn start(&self, role: Role) -> (Child, Instant) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "--nocapture", "child_works"]).env("ROLE", format!("{role:?}"));
        self.place.tell(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("begins")), "{role:?}");
        // What it says at its end goes nowhere, without harm.
        std::thread::spawn(move || lines.for_each(drop));
        (child, Instant::now())
    }

    /// Kills the role's process at a random instant of its life; says whether that came before its end.
    fn kill(&mut self, role: Role) -> bool {
        let at = self.lasts[&role].mul_f64(self.random());
        let (mut child, begun) = self.start(role);
        sleep(at.saturating_sub(begun.elapsed()));
        child.kill().unwrap();
        !child.wait().unwrap().success()
    }

    /// Between 0 and 1: xorshift, the same in every run.
    fn random(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as f64 / (1u64 << 53) as f64
    }

    fn check(&self, role: Role) {
        let store = Store::open(&self.place.store).unwrap();
        let faults = store.verify().unwrap();
        assert!(faults.is_empty(), "after {role:?}: {faults:?}");
        let left = |folder| fs::read_dir(self.place.store.join(folder)).unwrap().count();
        assert_eq!(left("tmp"), 0, "leftovers are gone");
        store.settle().unwrap();
        // Another store of this process may just be removing the same notes.
        let wait = |_| {
            sleep(Duration::from_millis(10));
            left("settling") == 0
        };
        assert!(left("settling") == 0 || (0..500).any(wait), "all has settled");
        for (layer, tree) in trees(&self.place.store) {
            assert!(
                self.layers.get(&layer) == Some(&tree),
                "after {role:?}: layer {layer} is another:\n{tree}"
            );
        }
        for role in ROLES {
            for name in self.place.names(role) {
                let image = store.resolve(&name).unwrap();
                assert!(image.is_none_or(|image| image.layers.iter().all(|layer| layer.is_dir())));
            }
        }
    }

    /// All operations come to their end, and leave nothing that no name needs.
    fn finish(&self) {
        let store = Store::open(&self.place.store).unwrap();
        for role in ROLES {
            self.place.perform(&store, role).unwrap();
            let made = self.place.names(role);
            assert!(made.iter().all(|name| store.resolve(name).unwrap().is_some()), "{role:?}");
        }
        let all: BTreeSet<PathBuf> =
            store.list().unwrap().into_iter().flat_map(|image| image.layers).collect();
        assert!(trees(&self.place.store).len() >= 9 && all.iter().all(|layer| layer.is_dir()));
        for image in store.list().unwrap() {
            store.remove_id(image.id, true, &[]).unwrap();
        }
        store.forget_builds(&store.builds().unwrap()).unwrap();
        store.gc(&[]).unwrap();
        for folder in ["layers", "blobs/sha256", "tmp"] {
            assert_eq!(fs::read_dir(self.place.store.join(folder)).unwrap().count(), 0, "{folder}");
        }
    }
}

/// Not a test of its own: the process that is killed.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn child_works() {
    let role = std::env::var("ROLE").unwrap();
    let role = ROLES.into_iter().find(|known| format!("{known:?}") == role).unwrap();
    let place = Place::read();
    println!("begins");
    let store = Store::open(&place.store).unwrap();
    place.perform(&store, role).unwrap();
}
